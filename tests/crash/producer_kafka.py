"""The producer into a Kafka topic: numbered records per key, idempotent, acknowledged by all; a process of its own.

It keeps the same log as the producer into a queue, with the same meaning: `a KEY SEQ` is on disk before the send, `c KEY SEQ`
follows the broker's acknowledgement, `u KEY SEQ` says that the outcome is unknown. An unknown record is never sent again; the
client's own retries carry a number by which the broker knows a copy, so every copy that arrives twice is the bridge's.

It is told `pause`, `resume` and `stop` on its standard input and answers each on its standard output.
"""

import argparse
import itertools
import os
import queue
import sys
import threading
import time

from kafka import KafkaProducer
from kafka.errors import KafkaError

from . import record
from .kafka_cluster import RECONNECT, Cluster

BATCH = 300


class Producer:
    """One client for the whole run: it reconnects by itself, and its numbers go on."""

    def __init__(self, options):
        self.options = options
        self.log = open(options.log, "a", encoding="ascii")
        keys = [f"k{number:02}" for number in range(options.keys)]
        self.places = ((key, seq) for seq in itertools.count(1) for key in keys)
        self.cluster = Cluster(options.servers)
        self.client = KafkaProducer(
            bootstrap_servers=options.servers,
            acks="all",
            linger_ms=5,
            delivery_timeout_ms=120_000,
            max_block_ms=120_000,
            **RECONNECT,
        )
        self.outcomes = queue.SimpleQueue()  # from the client's thread
        self.outstanding = 0
        self.commands = queue.SimpleQueue()  # from the thread that listens
        self.paused = False

    def run(self):
        threading.Thread(target=self.listen, daemon=True).start()
        stopped = False
        while not stopped:
            while not self.commands.empty():
                command = self.commands.get()
                self.paused = command != "resume"
                if self.paused:
                    self.settle_all()
                self.say({"pause": "paused", "resume": "resumed", "stop": "stopped"}[command])
                stopped = stopped or command == "stop"
            if not self.paused:
                self.pump()
            self.settle()
            time.sleep(0.02)

    def listen(self):
        """Commands arrive on a thread of their own."""
        for line in sys.stdin:
            self.commands.put(line.strip())

    def say(self, answer):
        self.flush()
        print(answer, flush=True)

    def pump(self):
        """Sends what the backlog leaves room for, so that it stays bounded while the bridge is down."""
        backlog = self.cluster.lag(self.options.group, self.options.topic) + self.outstanding
        room = min(self.options.backlog_max - backlog, BATCH * 4)
        while room >= BATCH // 2:
            batch = list(itertools.islice(self.places, min(room, BATCH)))
            self.log.writelines(f"a {key} {seq}\n" for key, seq in batch)
            self.flush()
            for place in batch:
                self.send(place)
            self.settle()
            room -= len(batch)

    def send(self, place):
        key, seq = place
        self.outstanding += 1
        headers = [("content-type", b"application/json")]
        try:
            sent = self.client.send(
                self.options.topic, record.body(self.options.run, key, seq), key=key.encode(), headers=headers
            )
        except KafkaError:
            self.outcomes.put((place, "u"))
            return
        sent.add_callback(lambda _: self.outcomes.put((place, "c")))
        sent.add_errback(lambda _: self.outcomes.put((place, "u")))

    def settle(self, wait=False):
        """Logs the outcomes that are in, and waits for the first where it is told to."""
        while wait or not self.outcomes.empty():
            (key, seq), outcome = self.outcomes.get()
            self.outstanding -= 1
            self.log.write(f"{outcome} {key} {seq}\n")
            wait = False

    def settle_all(self):
        while self.outstanding:
            self.settle(wait=True)

    def flush(self):
        self.log.flush()
        os.fsync(self.log.fileno())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--backlog-max", type=int, default=8000)
    Producer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
