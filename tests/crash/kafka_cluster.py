"""A Kafka cluster through kafka-python: topics, a group's progress, and what a topic holds in the end."""

import os
import time
from collections import defaultdict

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, UnknownTopicOrPartitionError
from kafka.partitioner.default import murmur2

from . import record

PARTITIONS = 3
RECONNECT = {"reconnect_backoff_max_ms": 500}  # so that a client of the test is not what is waited for
PATIENCE_SECONDS = 60  # how long a question is asked again of a broker that a fault has stopped


class Cluster:
    """Asks with clients that are made again when a fault has broken them."""

    def __init__(self, address):
        self.address = address
        self.broker = f"{{ kafka: {{ bootstrap_servers: [{address}] }} }}"
        self.clients = {}

    @classmethod
    def shared(cls):
        return cls(os.environ["RIALTO_TEST_KAFKA"])

    def client(self, kind, **settings):
        """The client of this kind, opened where there is none."""
        if kind not in self.clients:
            self.clients[kind] = kind(bootstrap_servers=self.address, **RECONNECT, **settings)
        return self.clients[kind]

    def ask(self, question):
        """The answer, from a new client where the last one had failed."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return question()
            except KafkaError:
                if time.monotonic() > end:
                    raise
                self.close()
                time.sleep(0.2)

    def close(self):
        for client in self.clients.values():
            client.close()
        self.clients = {}

    @staticmethod
    def fresh(topic):
        """A name that no earlier run has used: what Kafka deletes does not go at once."""
        return f"{topic}.{time.time_ns() // 1_000_000:x}"

    def create(self, topic, partitions=PARTITIONS):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1)
        self.ask(lambda: self.client(KafkaAdminClient).create_topics([new]))

    def delete(self, *topics):
        self.ask(lambda: self.client(KafkaAdminClient).delete_topics(list(topics)))

    def consumer(self):
        """Reads only what is committed; assigned by hand, it is in no group."""
        return self.client(
            KafkaConsumer, group_id=None, isolation_level="read_committed", enable_auto_commit=False, check_crcs=False
        )

    def ends(self, topic):
        """The end of each partition, as far as its readers may go."""

        def question():
            consumer = self.consumer()
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise UnknownTopicOrPartitionError(topic)
            return consumer.end_offsets([TopicPartition(topic, number) for number in numbers])

        return self.ask(question)

    def lag(self, group, topic, key=None):
        """Records between what the group has committed and the ends, of all partitions or of the one that takes a key."""
        committed = self.ask(lambda: self.client(KafkaAdminClient).list_group_offsets(group))[group]
        behind = {one: end - max(committed[one].offset, 0) if one in committed else end for one, end in self.ends(topic).items()}
        if key is None:
            return sum(behind.values())
        # As the producer's client has it, and Java's: murmur2, without its sign.
        return behind[TopicPartition(topic, (murmur2(key.encode()) & 0x7FFFFFFF) % len(behind))]

    def members(self, group):
        """How many members the group has; nobody can tell while it is being shared out."""
        told = self.ask(lambda: self.client(KafkaAdminClient).describe_groups([group]))[group]
        return len(told["members"]) if told["group_state"] == "Stable" else None

    def put(self, topic, body):
        """One copy into each partition, confirmed."""

        def question():
            producer = self.client(KafkaProducer, acks="all")
            for sent in [producer.send(topic, body, partition=one.partition) for one in self.ends(topic)]:
                sent.get(timeout=PATIENCE_SECONDS)

        self.ask(question)

    def read(self, topic):
        """Every value of the topic. Fences stand in every partition and part the lives of the bridge: the answer holds one life
        after the other, in each the partitions one after the other. The order within a partition is kept."""
        lives = defaultdict(list)
        for partition, end in self.ends(topic).items():
            life = 0
            for body in self.values(partition, end):
                fence = record.fence_number(body)
                if fence is None:
                    lives[life].append(body)
                elif fence != life:
                    life = fence
                    lives[life] = lives[life] or [body]
        return [body for life in sorted(lives) for body in lives[life]]

    def values(self, partition, end):
        """The values of one partition from its beginning to the end."""
        consumer = self.consumer()
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=1000, max_records=5000).values():
                yield from (one.value for one in records)
