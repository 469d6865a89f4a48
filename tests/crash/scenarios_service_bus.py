"""What happens to a bridge that has the stand-in for Service Bus at one of its ends, and to that end."""

import time
from functools import partial

from .ends_service_bus import Destination, Source
from .scenarios import faults, from_queue, settings, stream
from .service_bus import StandIn
from .trial import Trial


def from_bus(name):
    return Source(StandIn.shared(), name)


def by_https(name):
    return Destination(StandIn.shared(), f"crash.{name}.out", "https")


def by_amqp(name):
    return Destination(StandIn.shared(), f"crash.{name}.out", "amqp")


def cut_off(stand_in, trial):
    """Nobody gets through for a while, and all that were through are cut."""
    pause = trial.dice.uniform(0.2, 2)
    stand_in.ask("POST", "/refuse", {"milliseconds": int(pause * 1000)})
    time.sleep(pause)


def destination_struck(name, directory, seed, destination, count=14):
    """The destination is cut off, busy, broken, deaf to tokens, or loses answers to what it has stored."""
    end = destination(name)

    def fault(kind, _trial, **more):
        end.stand_in.fault(kind, entity=end.name, **more)

    strikes = [
        partial(cut_off, end.stand_in),
        partial(fault, "throttle", count=5, retry_after=1),
        partial(fault, "error", count=3),
        partial(fault, "lose_answers", count=2),
        partial(fault, "cut", count=2),
        partial(fault, "delay_answer", count=5, milliseconds=300),
        lambda _: end.stand_in.ask("POST", "/expire_tokens", {"entity": end.name}),
    ]

    def strike(trial):
        strikes[trial.events % len(strikes)](trial)

    # One strike may cut a batch twice, and each time what it held may come again.
    with Trial(name, directory, from_queue(name), end, seed, **settings(count, 2)) as trial:
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
