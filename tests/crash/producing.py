"""What every producer does alike, whatever it sends to: the log, the records in their order, and what it is told meanwhile.

The log is the ground truth: `a KEY SEQ` is on disk before the record is sent, `c KEY SEQ` follows the broker's confirmation, and
`u KEY SEQ` says that the outcome is unknown. An unknown record is never sent again, so every copy that arrives twice is the
bridge's.

A producer is a process of its own. It is told `pause`, `resume` and `stop` on its standard input and answers each on its standard
output.
"""

import argparse
import itertools
import os
import queue
import sys
import threading
import time

LOOK_EVERY = 0.02  # seconds
ANSWERS = {"pause": "paused", "resume": "resumed", "stop": "stopped"}


def options(*ends):
    """The command line: `--NAME` for each of the ends, which must be given, and what all producers take."""
    parser = argparse.ArgumentParser()
    for name in (*ends, "run", "log"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--backlog-max", type=int, default=8000)
    return parser.parse_args()


def places(keys):
    """Every record there will be, as its key and its number: each key's first, each key's second, without end."""
    names = [f"k{number:02}" for number in range(keys)]
    return ((key, seq) for seq in itertools.count(1) for key in names)


class Log:
    """What became of every record."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="ascii")

    def attempted(self, batch):
        """Before the first of them is sent: returns when it is on disk."""
        self.file.writelines(f"a {key} {seq}\n" for key, seq in batch)
        self.flush()

    def outcome(self, place, *, confirmed):
        key, seq = place
        self.file.write(f"{'c' if confirmed else 'u'} {key} {seq}\n")

    def flush(self):
        self.file.flush()
        os.fsync(self.file.fileno())


class Orders:
    """What the producer is told. It is heard on a thread of its own and obeyed on the producer's."""

    def __init__(self, log):
        self.log = log
        self.paused = False
        self.heard = queue.SimpleQueue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in sys.stdin:
            self.heard.put(line.strip())

    def new(self):
        """Each order that came since the last look."""
        while not self.heard.empty():
            order = self.heard.get()
            self.paused = order != "resume"
            yield order

    def obeyed(self, order):
        """Says so, once all that it asked for is done and on disk."""
        self.log.flush()
        print(ANSWERS[order], flush=True)


class Producer:
    """What each of them has."""

    def __init__(self, options):
        self.options = options
        self.log = Log(options.log)
        self.places = places(options.keys)
        self.orders = Orders(self.log)


class PacedProducer(Producer):
    """One that looks now and then at what it is told, and sends by `pump` what there is room for."""

    def run(self):
        while True:
            for order in self.orders.new():
                if self.orders.paused:
                    self.settle_all()
                self.orders.obeyed(order)
                if order == "stop":
                    return
            if not self.orders.paused:
                self.pump()
            self.settle()
            time.sleep(LOOK_EVERY)

    def settle(self):
        """Logs the outcomes that are in. Where `pump` waits for them there are no others."""

    def settle_all(self):
        """The same, and waits for those that are not in yet."""
