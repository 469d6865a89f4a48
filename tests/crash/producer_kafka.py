"""The producer into a Kafka topic: numbered records per key, idempotent, acknowledged by all.

The client sends again by itself, with a number by which the broker knows a copy.
"""

import itertools
import queue

from kafka import KafkaProducer
from kafka.errors import KafkaError

from . import producing, record
from .kafka_cluster import RECONNECT, Cluster

BATCH = 300


class Producer(producing.PacedProducer):
    """One client for the whole run: it reconnects by itself, and its numbers go on."""

    def __init__(self, options):
        super().__init__(options)
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

    def pump(self):
        """Sends what the backlog leaves room for, so that it stays bounded while the bridge is down."""
        backlog = self.cluster.lag(self.options.group, self.options.topic) + self.outstanding
        room = min(self.options.backlog_max - backlog, BATCH * 4)
        while room >= BATCH // 2:
            batch = list(itertools.islice(self.places, min(room, BATCH)))
            self.log.attempted(batch)
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
            self.outcomes.put((place, False))
            return
        sent.add_callback(lambda _: self.outcomes.put((place, True)))
        sent.add_errback(lambda _: self.outcomes.put((place, False)))

    def settle(self, wait=False):
        """Logs the outcomes that are in, and waits for the first where it is told to."""
        while wait or not self.outcomes.empty():
            place, confirmed = self.outcomes.get()
            self.outstanding -= 1
            self.log.outcome(place, confirmed=confirmed)
            wait = False

    def settle_all(self):
        while self.outstanding:
            self.settle(wait=True)


if __name__ == "__main__":
    Producer(producing.options("servers", "topic", "group")).run()
