"""The checker: reads the three logs of a run and says what was lost, changed, repeated or out of order.

It knows nothing of the bridge. Its input:

    producer.log   `a KEY SEQ` attempted, `c KEY SEQ` confirmed by the broker, `u KEY SEQ` outcome unknown
    observed.log   a base64 body a line, in the order of the destination, records and fences
    dead.log       the same for the dead-letter queue
    nemesis.log    a JSON object a line: first the run's settings, then its events
"""

import base64
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from . import record

SHOWN = 5  # examples of each kind of violation


@dataclass
class Run:
    """What the logs say, in memory."""

    name: str
    attempted: set
    confirmed: set
    observed: list  # bodies, in order
    dead: list
    events: list
    facts: dict = field(default_factory=dict)


@dataclass
class Verdict:
    """Violations by kind, and the figures that say how hard the run tried."""

    violations: dict = field(default_factory=lambda: defaultdict(list))
    figures: dict = field(default_factory=dict)

    @property
    def clean(self):
        return not self.violations

    def report(self):
        lines = [f"  {name}: {value}" for name, value in self.figures.items()]
        for kind, found in sorted(self.violations.items()):
            lines.append(f"  VIOLATION {kind}: {len(found)}")
            lines.extend(f"    {one}" for one in found[:SHOWN])
        lines.append(f"  verdict: {'clean' if self.clean else 'RED'}")
        return "\n".join(lines)


def check(run):
    """The whole verdict."""
    verdict = Verdict()
    places = check_bodies(run, verdict)
    check_loss(run, places, verdict)
    check_duplicates(run, places, verdict)
    check_order(run, places, verdict)
    check_dead(run, verdict)
    check_vacuity(run, places, verdict)
    for kind, message in run.facts.get("violations", []):
        verdict.violations[kind].append(message)
    verdict.figures.update(run.facts.get("figures", {}))
    return verdict


def check_bodies(run, verdict):
    """C2: every observed record was attempted and holds the bytes it was produced with.

    Returns what was seen in order: (key, seq), or the number of a fence.
    """
    places = []
    for position, observed in enumerate(run.observed):
        fence = record.fence_number(observed)
        if fence is not None:
            places.append(fence)
            continue
        claimed = record.identify(observed)
        if claimed is None or claimed[0] != run.name or claimed[1:] not in run.attempted:
            verdict.violations["phantom"].append(f"position {position}: {observed[:160]!r}")
            continue
        if observed != record.body(*claimed):
            verdict.violations["corrupted"].append(f"{claimed[1:]} at position {position}: {observed[:200]!r}")
        places.append(claimed[1:])
    return places


def records(places):
    return (place for place in places if not isinstance(place, int))


def check_loss(run, places, verdict):
    """C1: what the broker confirmed to the producer arrived, except what the nemesis itself took from the queue."""
    missing = sorted(run.confirmed - set(records(places)))
    taken = [event for event in run.events if "waived_through" in event]
    waived = {place for place in missing for event in taken if place[1] <= event["waived_through"].get(place[0], 0)}
    allowed = sum(event["waived_max"] for event in taken)
    if len(waived) > allowed:
        verdict.violations["lost"].append(f"{len(waived)} missing where the nemesis took at most {allowed}")
    for place in missing:
        if place not in waived:
            verdict.violations["lost"].append(f"{place} was confirmed to the producer and never arrived")
    verdict.figures["attempted"] = len(run.attempted)
    verdict.figures["confirmed"] = len(run.confirmed)
    verdict.figures["taken by the nemesis"] = len(waived)


def check_duplicates(run, places, verdict):
    """C3: each event repeats at most as many as it may; where fences part the lives of the bridge, event by event.

    A repeat is of the event that ended the life of the copy before it: of what one life left open, the next may have sent nothing."""
    lives, repeated = {}, Counter()
    fence = 0
    for place in places:
        if isinstance(place, int):
            fence = place
            continue
        if place in lives:
            repeated[min(lives[place] + 1, fence)] += 1
        lives[place] = fence
    total = sum(repeated.values())
    allowed = sum(event["duplicates_max"] for event in run.events)
    if total > allowed:
        verdict.violations["repeated"].append(f"{total} repeats where at most {allowed} are allowed")
    by_fence = {event["fence"]: event["duplicates_max"] for event in run.events if "fence" in event}
    if len(by_fence) == len(run.events):
        for fence, count in sorted(repeated.items()):
            if count > by_fence.get(fence, 0):
                verdict.violations["repeated"].append(
                    f"{count} repeats by event {fence}, at most {by_fence.get(fence, 0)} allowed"
                )
    verdict.figures["repeated"] = f"{total} (allowed {allowed}, most by one event {max(repeated.values(), default=0)})"


def check_order(run, places, verdict):
    """C4: per key first arrivals are in the order of production; a walk goes back only at an event, and then walks the
    same way again without a gap, unless an event says that the source's broker itself forgets (`repeats_skip`). Numbers
    whose publish was never confirmed may be absent."""
    arrived = set(records(places))
    repeats_skip = any(event.get("repeats_skip") for event in run.events)
    highest, last, returns = defaultdict(int), {}, Counter()
    for place in records(places):
        key, seq = place
        previous = last.get(key, 0)
        if seq > previous:
            for skipped in range(previous + 1, seq):
                overtaken = skipped > highest[key]
                if (key, skipped) in arrived and (overtaken or not repeats_skip):
                    kind = "overtaken" if overtaken else "skipped in a repeat"
                    verdict.violations["order"].append(f"{key}: {seq} came after {previous}, {skipped} was {kind}")
                    break
        else:
            returns[key] += 1
        highest[key] = max(highest[key], seq)
        last[key] = seq
    allowed = sum(1 for event in run.events if event["duplicates_max"] > 0) * run.facts.get("returns_per_event", 1)
    for key, count in returns.items():
        if count > allowed:
            verdict.violations["order"].append(f"{key}: went back {count} times in {allowed} events that allow it")
    verdict.figures["keys"] = len(highest)


def check_dead(run, verdict):
    """No record of these runs is bad: none may be dead-lettered."""
    for observed in run.dead:
        verdict.violations["dead-lettered"].append(f"{observed[:200]!r}")


def check_vacuity(run, places, verdict):
    """A run that proved nothing is red."""
    kills = [event for event in run.events if event["event"] == "kill"]
    loaded = [event for event in kills if not event.get("starting")]
    flying = sum(1 for event in loaded if event["in_flight"])
    planned = run.facts.get("events_planned", 0)
    vacuous = verdict.violations["vacuous"]
    if len(run.events) < planned:
        vacuous.append(f"{len(run.events)} events where {planned} were planned")
    if flying < 0.9 * len(loaded):
        vacuous.append(f"messages were in flight at {flying} of {len(loaded)} kills under load")
    if len(run.confirmed) < run.facts.get("confirmed_min", 1):
        vacuous.append(f"only {len(run.confirmed)} records confirmed, at least {run.facts['confirmed_min']} wanted")
    if run.facts.get("repeats_wanted") and not len(places) > len(set(places)):
        vacuous.append("no repeat was ever seen: the kills hit nothing")
    if not vacuous:
        del verdict.violations["vacuous"]
    verdict.figures["events"] = dict(Counter(event["event"] for event in run.events))
    if kills:
        verdict.figures["in flight at"] = f"{flying} of {len(loaded)} kills under load ({len(kills) - len(loaded)} while starting)"


def bodies(path):
    if not path.exists():
        return []
    return [base64.b64decode(line) for line in path.read_bytes().splitlines()]


def load(directory):
    """A run from its logs."""
    directory = Path(directory)
    outcomes = defaultdict(set)
    with open(directory / "producer.log", encoding="ascii") as log:
        for line in log:
            outcome, key, seq = line.split()
            outcomes[outcome].add((key, int(seq)))
    with open(directory / "nemesis.log", encoding="utf-8") as log:
        settings, *events = (json.loads(line) for line in log)
    facts_path = directory / "facts.json"
    facts = json.loads(facts_path.read_text()) if facts_path.exists() else {}
    return Run(
        name=settings["run"],
        attempted=outcomes["a"],
        confirmed=outcomes["c"],
        observed=bodies(directory / "observed.log"),
        dead=bodies(directory / "dead.log"),
        events=events,
        facts=settings | facts,
    )


def main():
    verdict = check(load(sys.argv[1]))
    print(verdict.report())
    sys.exit(0 if verdict.clean else 1)


if __name__ == "__main__":
    main()
