"""What happens to the bridge and to Kafka, at either end of it."""

import os
import signal
import time

from .bridge import Bridge
from .destinations import KeyedExchange, Stream, Topic, TransactedTopic
from .kafka_cluster import Cluster
from .scenarios import faults, settings
from .servers import OwnServer, RabbitMQ, shared_redis
from .sources import WINDOW, TopicSource
from .trial import Trial

FROZEN_SECONDS = 45
SESSION_SECONDS = 10  # for so long a member with a name is waited for: the bridge's own default
GUESTS = 5


def from_topic(name):
    return TopicSource(Cluster.shared(), name)


def topic(name):
    return Topic(Cluster.shared(), f"crash.{name}.out")


def transacted(name):
    return TransactedTopic(Cluster.shared(), f"crash.{name}.out")


def stream(name):
    return Stream(shared_redis(), os.environ["RIALTO_TEST_REDIS_URL"], f"crash:{name}")


def between_topics(name, directory, seed, event, count, strike):
    """Both ends are topics of one Kafka of the run's own, which the strike is given. The producer needs it, too: flow is waited for
    from the first record on that there is to flow."""

    def fault(trial):
        strike(trial, server)
        length = trial.destination.length()
        trial.wait("something to read", lambda: trial.source.waiting() > 0 or trial.destination.length() > length)

    server = OwnServer("kafka", directory.with_name(f"{name}.kafka"))
    cluster = Cluster(f"127.0.0.1:{server.port}")
    try:
        source, destination = TopicSource(cluster, name), Topic(cluster, f"crash.{name}.out")
        with Trial(name, directory, source, destination, seed, **settings(count, 2)) as trial:
            return faults(trial, event, count, fault, ends=2)
    finally:
        cluster.close()
        server.signal(signal.SIGCONT)
        server.stop()


def frozen(name, directory, seed, count=1):
    """Kafka stands still for longer than its clients wait for an answer and than the group keeps a silent member."""

    def freeze(_trial, server):
        server.signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        server.signal(signal.SIGCONT)

    return between_topics(name, directory, seed, "Kafka frozen", count, freeze)


def restarted(name, directory, seed, count=2):
    """Kafka is killed and comes back after a while with all that it had acknowledged."""

    def restart(trial, server):
        server.kill()
        time.sleep(trial.dice.uniform(0, 3))
        server.start()

    return between_topics(name, directory, seed, "Kafka restarted", count, restart)


def rebalances(name, directory, seed, count=2):
    """A storm: every three seconds another bridge joins the group and leaves it again, so that partitions go there and back under
    load. They leave in order, each having told how far it came, and so repeat nothing. The storm is over when the group waits for none
    of them any more. One that leaves while a rebalance waits for another is itself missed only from the end of that one on."""
    source = from_topic(name)
    with Trial(name, directory, source, stream(name), seed, **settings(count, GUESTS)) as trial:

        def storm(trial):
            for number in range(GUESTS):
                visit(trial, f"guest{trial.events}-{number}")
            trial.wait("the end of the guests' sessions", alone, seconds=2 * SESSION_SECONDS + 5, pause=0.2)
            return {"duplicates_max": 0}

        def alone():
            return source.cluster.members(source.group) == 1

        return faults(trial, "rebalance storm", count, storm)


def visit(trial, name):
    """A bridge of this name is in the group for three seconds."""
    (trial.directory / name).mkdir()
    guest = Bridge(trial.directory / name, f"instance: {name}\n{trial.configuration()}")
    try:
        guest.start()
        guest.wait_ready()
        time.sleep(3)
        guest.terminate()
    finally:
        guest.stop()


def parked_killed(name, directory, seed, count, environment=None):
    """SIGKILL while one key waits for its binding and all others pass it by, so that what is settled has a hole. All that settles behind
    it in its partition comes again; of the others, a window."""
    keys = [f"k{number:02}" for number in range(16)]
    destination, held = KeyedExchange(RabbitMQ.shared(), f"crash.{name}.out", keys), keys[3]
    more = {"events_planned": count, "confirmed_min": count * 100, "repeats_wanted": environment is None}
    with Trial(name, directory, from_topic(name), destination, seed, environment, **more) as trial:
        for _ in range(count):
            trial.wait_backlog(WINDOW)
            destination.unbind(held)
            length = destination.length()
            trial.bridge.start()
            trial.wait_arrivals(length)
            time.sleep(trial.dice.uniform(0.2, 0.6))
            trial.bridge.kill()
            in_flight = trial.source.mourn(trial)
            destination.bind(held)
            behind = trial.source.waiting_beside(held)
            trial.event("kill", trial.source.repeats_max + behind, fenced=True, in_flight=in_flight)
        trial.bridge.start()
        trial.bridge.wait_ready()
        return trial.finish()
