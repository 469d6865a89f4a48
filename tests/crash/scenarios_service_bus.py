"""What happens to a bridge that has the stand-in for Service Bus at one of its ends, and to that end."""

import time

from .ends_service_bus import Destination, DetectingDestination, Source
from .scenarios import faults, from_queue, settings, stream
from .service_bus import StandIn
from .trial import Trial


def from_bus(name):
    return Source(StandIn.shared(), name)


def by_https(name):
    return Destination(StandIn.shared(), f"crash.{name}.out", "https")


def by_https_once(name):
    return DetectingDestination(StandIn.shared(), f"crash.{name}.out", "https")


def by_amqp(name):
    return Destination(StandIn.shared(), f"crash.{name}.out", "amqp")


def strictly(end, name):
    """One message of a key at a time: what is refused is not overtaken by what follows it on the wire (G6)."""
    end = end(name)
    end.more = "    ordering: strict\n"
    return end


class Strikes:
    """What may happen to a queue of the stand-in under a bridge that sends to it."""

    def __init__(self, end):
        self.end = end
        self.stand_in = end.stand_in

    def one(self, name, trial):
        """Strikes, and waits until the strike is over."""
        getattr(self, name)(trial)
        trial.wait(f"the end of {name}", lambda: not self.waiting(), seconds=60)
        return {"strike": name}

    def waiting(self):
        return [fault for fault in self.stand_in.ask("GET", "/faults") if fault["entity"] == self.end.name]

    def fault(self, kind, **more):
        self.stand_in.fault(kind, entity=self.end.name, **more)

    def cut_off(self, trial):
        """Nobody gets through for a while, and all that were through are cut."""
        pause = trial.dice.uniform(0.2, 2)
        self.stand_in.ask("POST", "/refuse", {"milliseconds": int(pause * 1000)})
        time.sleep(pause)

    def cut_while_sending(self, _trial):
        self.fault("cut", count=2)

    def answers_lost(self, _trial):
        """What is stored is not answered for."""
        self.fault("lose_answers", count=2)

    def answers_late(self, _trial):
        self.fault("delay_answer", count=5, milliseconds=300)

    def tokens_expired(self, _trial):
        self.stand_in.ask("POST", "/expire_tokens", {"entity": self.end.name})

    def links_detached(self, _trial):
        self.stand_in.ask("POST", "/detach", {"entity": self.end.name})

    def throttled(self, trial):
        self.fault("throttle", count=5, retry_after=1)
        trial.wait("the first refusal", lambda: all(fault["count"] < 5 for fault in self.waiting()))
        time.sleep(self.end.busy_seconds)

    def broken(self, _trial):
        self.fault("error", count=3)


CUTS = ["cut_off", "cut_while_sending", "answers_lost", "answers_late"]
LINKS = ["tokens_expired", "links_detached"]
REFUSALS = ["throttled", "broken"]


def struck(name, directory, seed, destination, names, count=12):
    """The destination is cut off, slow, deaf to tokens, busy or broken."""
    strikes = Strikes(destination(name))

    def strike(trial):
        return strikes.one(names[trial.events % len(names)], trial)

    # One strike may cut the connection twice, and each time what was on the wire may come again.
    with Trial(name, directory, from_queue(name), strikes.end, seed, **settings(count, 2)) as trial:
        return faults(trial, "destination struck", count, strike, ends=2)


def source_cut_off(name, directory, seed, count=8):
    """The source is cut off, and its locks end meanwhile: what was held comes again, in its order."""
    source = from_bus(name)

    def strike(trial):
        pause = trial.dice.uniform(0.2, 2)
        source.stand_in.ask("POST", "/refuse", {"milliseconds": int(pause * 1000)})
        source.stand_in.entity("POST", source.queue, "/expire")
        time.sleep(pause)

    with Trial(name, directory, source, stream(name), seed, **settings(count)) as trial:
        return faults(trial, "source cut off", count, strike)
