"""One trial: the producer, a source, the bridge, a destination, and the logs the checker reads."""

import base64
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import checker, record
from .bridge import Bridge, BridgeError
from .sources import WINDOW

RESUME_SECONDS = 5.0  # G14: flow resumes within 5 s of the end of a fault
QUIET_SECONDS = 90

CONFIGURATION = """\
name: crash
brokers:
{brokers}
sources:
  in: {reads}
routes:
  - name: out
    from: in
    key: "{{payload.key}}"
    to: {to}
{more}"""


class Trial:
    """Everything of one run, in one directory. Used as a context, so that nothing it started outlives it."""

    def __init__(self, name, directory, source, destination, seed, environment=None, **settings):
        self.name = name
        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.source = source
        self.source.create()
        self.destination = destination
        self.run = f"{name}-{seed:08x}"
        self.dice = random.Random(f"{seed}/{name}")
        self.facts = {"figures": {}, "violations": []}
        self.events = 0
        self.nemesis = open(directory / "nemesis.log", "w", encoding="utf-8")
        self.note({"run": self.run, "window": WINDOW} | settings)
        self.bridge = Bridge(directory, self.configuration(), environment)
        self.producer = None

    def configuration(self):
        brokers = self.source.brokers | self.destination.brokers
        return CONFIGURATION.format(
            brokers="\n".join(f"  {name}: {broker}" for name, broker in brokers.items()),
            reads=self.source.reads,
            to=self.destination.to,
            more=self.destination.more,
        )

    def __enter__(self):
        log = self.directory / "producer.log"
        command = [sys.executable, "-m", *self.source.producer, "--run", self.run, "--log", str(log)]
        with open(self.directory / "producer.err", "wb") as errors:
            self.producer = subprocess.Popen(
                command, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        return self

    def __exit__(self, *_):
        self.bridge.stop()
        self.producer.kill()
        self.producer.wait()
        self.nemesis.close()

    # The producer.

    def tell_producer(self, command):
        self.producer.stdin.write(command + "\n")
        self.producer.stdin.flush()
        answer = self.producer.stdout.readline()
        if not answer:
            raise BridgeError(f"the producer is gone:\n{(self.directory / 'producer.err').read_text()}")

    def produced(self):
        """The highest number of each key so far, from the producer's log."""
        highest = {}
        for line in (self.directory / "producer.log").read_text().splitlines():
            _, key, seq = line.split()
            highest[key] = max(highest.get(key, 0), int(seq))
        return highest

    # The nemesis.

    def note(self, what):
        self.nemesis.write(json.dumps(what) + "\n")
        self.nemesis.flush()

    def event(self, event, duplicates_max, fenced=False, **details):
        """Logs an event; a fenced one parts the destination, so that repeats can be charged to it."""
        self.events += 1
        if fenced:
            self.destination.put(record.fence(self.events))
            details["fence"] = self.events
        self.note({"event": event, "duplicates_max": duplicates_max, "at": time.time()} | details)

    def wait(self, what, condition, seconds=60, pause=0.02):
        """Until the condition holds; answers how long it took."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > seconds:
                raise BridgeError(f"{what}: not within {seconds} s\n{self.bridge.tail()}")
            time.sleep(pause)
        return time.monotonic() - start

    def wait_backlog(self, messages):
        self.wait(f"a backlog of {messages} messages", lambda: self.source.waiting() >= messages)

    def wait_arrivals(self, length):
        """Until the bridge that has just been started is at work: the destination has grown beyond the length."""
        self.bridge.wait_ready()
        self.wait("the first arrival", lambda: self.destination.length() > length, pause=0.005)

    def wait_flow(self, what):
        """G14: after the end of a fault records arrive again by themselves, in time."""
        length = self.destination.length()
        took = self.wait(f"flow after {what}", lambda: self.destination.length() > length, seconds=30)
        if took > RESUME_SECONDS:
            self.facts["violations"].append(["liveness", f"flow came back {took:.1f} s after {what}"])
        slowest = self.facts["figures"].get("slowest return of the flow", "0 s").split()[0]
        self.facts["figures"]["slowest return of the flow"] = f"{max(took, float(slowest)):.2f} s"

    # The end.

    def finish(self):
        """Stops the producer, lets the bridge empty the source, stops it in order, reads both ends, asks the checker."""
        self.tell_producer("resume")
        self.tell_producer("stop")
        self.wait("an empty source", lambda: self.source.waiting() == 0, seconds=QUIET_SECONDS, pause=0.2)
        self.wait_still()
        self.account()
        self.bridge.terminate()
        # What the bridge had taken and not acknowledged is back in the source now.
        time.sleep(0.2)
        left = self.source.waiting()
        if left:
            self.facts["violations"].append(["unsettled", f"{left} messages were still unacknowledged when nothing moved any more"])
        self.facts["violations"].extend(["hygiene", complaint] for complaint in self.source.complaints())
        self.write_bodies("observed.log", self.destination.observe())
        self.write_bodies("dead.log", self.source.dead_letters())
        (self.directory / "facts.json").write_text(json.dumps(self.facts))
        self.destination.delete()
        self.source.delete()
        return checker.check(checker.load(self.directory))

    def wait_still(self, seconds=2):
        """Until the destination has not grown for a while."""
        length, since = -1, time.monotonic()
        end = since + QUIET_SECONDS
        while time.monotonic() - since < seconds and time.monotonic() < end:
            now = self.destination.length()
            if now != length:
                length, since = now, time.monotonic()
            time.sleep(0.1)

    def account(self):
        """G19, from the bridge's own counters: what came in went out or is still held."""
        status, text = self.bridge.get("/metrics")
        totals = {}
        for line in text.splitlines():
            if line.startswith("rialto_source_") and 'source="in"' in line:
                name = line.partition("{")[0]
                totals[name] = totals.get(name, 0) + float(line.rpartition(" ")[2])
        received = totals.get("rialto_source_received_total", 0)
        ways = ("rialto_source_settled_total", "rialto_source_released_total", "rialto_source_inflight_messages")
        gone = sum(totals.get(name, 0) for name in ways)
        if status != 200 or received == 0 or received != gone:
            self.facts["violations"].append(["accounting", f"/metrics {status}: {received:.0f} received, {gone:.0f} accounted for"])

    def write_bodies(self, name, bodies):
        with open(self.directory / name, "wb") as log:
            log.writelines(base64.b64encode(body) + b"\n" for body in bodies)
