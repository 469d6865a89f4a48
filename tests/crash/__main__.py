"""Runs a campaign: `python -m crash crash | faults | teeth | SCENARIO… --dir DIR`.

RIALTO_TEST_BINARY names the bridge; RIALTO_CRASH_KILLS is how often it is killed in each direction (130: some strike while it
starts, and at least 100 are to strike under load), and RIALTO_CRASH_SEED repeats a run's random choices.
"""

import argparse
import os
import random
import sys
import time
import traceback
from functools import partial
from pathlib import Path

from . import scenarios, scenarios_kafka, scenarios_service_bus
from .bridge import BridgeError
from .scenarios_kafka import from_topic
from .scenarios_service_bus import CUTS, LINKS, REFUSALS, by_amqp, by_https, by_https_once, from_bus, strictly

KILLS = int(os.environ.get("RIALTO_CRASH_KILLS", "130"))
TERMS = 10
PLANTED_KILLS = 10

SCENARIOS = {
    "stream-killed": partial(scenarios.kills, destination=scenarios.stream, count=KILLS),
    "queue-killed": partial(scenarios.kills, destination=scenarios.queue, count=KILLS),
    "stream-terminated": partial(scenarios.terms, destination=scenarios.stream, count=TERMS),
    "queue-terminated": partial(scenarios.terms, destination=scenarios.queue, count=TERMS),
    "topic-stream-killed": partial(scenarios.kills, source=from_topic, destination=scenarios.stream, count=KILLS),
    "topic-topic-killed": partial(
        scenarios.kills, source=from_topic, destination=scenarios_kafka.transacted, count=KILLS, repeats=0
    ),
    "queue-topic-killed": partial(scenarios.kills, destination=scenarios_kafka.topic, count=KILLS),
    "topic-stream-terminated": partial(scenarios.terms, source=from_topic, destination=scenarios.stream, count=TERMS),
    "queue-topic-terminated": partial(scenarios.terms, destination=scenarios_kafka.topic, count=TERMS),
    "topic-topic-terminated": partial(scenarios.terms, source=from_topic, destination=scenarios_kafka.topic, count=TERMS),
    "stream-connections-closed": partial(scenarios.close_connections, destination=scenarios.stream, ends=1),
    "queue-connections-closed": partial(scenarios.close_connections, destination=scenarios.queue, ends=2),
    "redis-clients-killed": scenarios.client_kill,
    "redis-restarted": scenarios.redis_restart,
    "rabbitmq-restarted": partial(scenarios.rabbitmq_restart, kill=False),
    "rabbitmq-killed": partial(scenarios.rabbitmq_restart, kill=True),
    "exchange-gone": scenarios.exchange_gone,
    "source-deleted": scenarios.source_deleted,
    "memory-alarm": scenarios.memory_alarm,
    "consumer-timeout": scenarios.consumer_timeout,
    "kafka-frozen": scenarios_kafka.frozen,
    "kafka-restarted": scenarios_kafka.restarted,
    "kafka-rebalances": scenarios_kafka.rebalances,
    "kafka-parked-killed": partial(scenarios_kafka.parked_killed, count=PLANTED_KILLS),
    "queue-bus-killed": partial(scenarios.kills, destination=by_https, count=KILLS),
    "queue-bus-once-killed": partial(scenarios.kills, destination=by_https_once, count=TERMS, repeats=0),
    "queue-bus-by-amqp-killed": partial(scenarios.kills, destination=by_amqp, count=KILLS),
    "bus-stream-killed": partial(scenarios.kills, source=from_bus, destination=scenarios.stream, count=KILLS),
    "queue-bus-terminated": partial(scenarios.terms, destination=by_https, count=TERMS),
    "bus-stream-terminated": partial(scenarios.terms, source=from_bus, destination=scenarios.stream, count=TERMS),
    "bus-struck": partial(scenarios_service_bus.struck, destination=by_https, names=CUTS + REFUSALS),
    "bus-by-amqp-struck": partial(scenarios_service_bus.struck, destination=by_amqp, names=CUTS + LINKS),
    "bus-by-amqp-refused": partial(scenarios_service_bus.struck, destination=partial(strictly, by_amqp), names=REFUSALS),
    "bus-source-cut-off": scenarios_service_bus.source_cut_off,
    "commit-highest": partial(
        scenarios_kafka.parked_killed, count=PLANTED_KILLS, environment={"RIALTO_PLANT": "commit_highest"}
    ),
    "early-ack": partial(
        scenarios.kills, destination=scenarios.stream, count=PLANTED_KILLS, environment={"RIALTO_PLANT": "early_ack"}
    ),
}
CAMPAIGNS = {
    "crash": [
        "stream-killed",
        "queue-killed",
        "topic-stream-killed",
        "queue-topic-killed",
        "topic-topic-killed",
        "queue-bus-killed",
        "bus-stream-killed",
        "stream-terminated",
        "queue-terminated",
        "topic-stream-terminated",
        "queue-topic-terminated",
        "topic-topic-terminated",
        "queue-bus-once-killed",
        "queue-bus-terminated",
        "bus-stream-terminated",
    ],
    "faults": [
        "stream-connections-closed",
        "queue-connections-closed",
        "redis-clients-killed",
        "redis-restarted",
        "rabbitmq-restarted",
        "rabbitmq-killed",
        "exchange-gone",
        "source-deleted",
        "memory-alarm",
        "consumer-timeout",
        "kafka-frozen",
        "kafka-restarted",
        "kafka-rebalances",
        "kafka-parked-killed",
        "bus-struck",
        "bus-by-amqp-struck",
        "bus-source-cut-off",
    ],
    "teeth": ["early-ack", "commit-highest"],
}
# The violation that a planted bug must cause; every other scenario must be clean.
PLANTED = {"early-ack": "lost", "commit-highest": "lost"}


def passed(name, directory, seed):
    """Runs one scenario and prints its verdict."""
    print(f"{name} (RIALTO_CRASH_SEED={seed})", flush=True)
    start = time.monotonic()
    try:
        verdict = SCENARIOS[name](name, directory / name, seed)
    except BridgeError as error:
        print(f"  failed: {error}", flush=True)
        return False
    except Exception:  # one scenario's surprise fails that scenario, not the ones after it
        print(traceback.format_exc(), flush=True)
        return False
    print(verdict.report())
    print(f"  took {time.monotonic() - start:.0f} s", flush=True)
    if name not in PLANTED:
        return verdict.clean
    caught = PLANTED[name] in verdict.violations
    print(f"  the planted bug was {'caught' if caught else 'NOT caught'}", flush=True)
    return caught


def main():
    parser = argparse.ArgumentParser(prog="crash")
    parser.add_argument("names", nargs="+", choices=[*CAMPAIGNS, *SCENARIOS])
    parser.add_argument("--dir", type=Path, required=True)
    options = parser.parse_args()
    seed = int(os.environ.get("RIALTO_CRASH_SEED") or random.randrange(1 << 32))
    names = [scenario for name in options.names for scenario in CAMPAIGNS.get(name, [name])]
    results = [passed(name, options.dir.resolve(), seed) for name in names]
    print(f"{sum(results)} of {len(results)} scenarios passed", flush=True)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
