"""The two ends where the bridge takes records: how a configuration names them, what waits there, and who produces for them."""

import time

from .kafka_cluster import PARTITIONS

WINDOW = 200  # messages taken and not yet settled
UNKNOWN_TAG = "unknown delivery tag"  # what RabbitMQ logs of an acknowledgement it does not understand


class QueueSource:
    """A RabbitMQ queue beside the queue of its dead letters."""

    repeats_max = WINDOW  # what a killed bridge may send again

    def __init__(self, rabbitmq, name):
        self.rabbitmq = rabbitmq
        self.queue = f"crash.{name}"
        self.dead = f"{self.queue}.dead"
        self.brokers = {"mq": rabbitmq.url}
        self.reads = f"{{ broker: mq, queue: {self.queue}, window: {WINDOW}, dead_letter: mq/{self.dead} }}"
        self.producer = ["crash.producer", "--url", rabbitmq.url, "--queue", self.queue]
        self.strange_tags = rabbitmq.logged(UNKNOWN_TAG)

    def create(self):
        self.delete()
        self.rabbitmq.declare(self.queue, self.dead)

    def delete(self):
        self.rabbitmq.delete(self.queue, self.dead)

    def waiting(self):
        """Messages that the bridge has not taken."""
        return self.rabbitmq.ready(self.queue)

    def mourn(self, trial):
        """Waits until the broker has heard of the bridge's death, and so put back what it held; answers whether it held any.

        A new bridge beside a consumer that the broker believes alive would be given later messages before earlier ones."""
        trial.wait("the end of the consumer", lambda: self.rabbitmq.consumers(self.queue) == 0, pause=0.01)
        # What was on its way to the destination's broker has arrived by now, before the fence.
        time.sleep(0.03)
        return self.rabbitmq.peek_redelivered(self.queue)

    def dead_letters(self):
        return self.rabbitmq.drain(self.dead)

    def complaints(self):
        """What the broker said about a client that misbehaves."""
        if self.rabbitmq.logged(UNKNOWN_TAG) > self.strange_tags:
            return [f"the broker complained of an {UNKNOWN_TAG}"]
        return []


class TopicSource:
    """A Kafka topic of three partitions, read by a group of its own, beside the topic of its dead letters."""

    # What is in flight and what is settled and not committed of a partition are within one window: the bridge offers nothing beyond it.
    # Only what settles behind a message that waits is not counted (docs/guarantees.md), and in these runs none waits; the scenario that
    # has one counts for itself.
    repeats_max = PARTITIONS * WINDOW

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.topic = self.group = cluster.fresh(f"crash.{name}")
        self.dead = f"{self.topic}.dead"
        self.brokers = {"log": cluster.broker}
        self.reads = (
            f"{{ broker: log, topic: {self.topic}, group: {self.group}, window: {WINDOW}, dead_letter: log/{self.dead} }}"
        )
        self.producer = ["crash.producer_kafka", "--servers", cluster.address, "--topic", self.topic, "--group", self.group]

    def create(self):
        self.cluster.create(self.topic)
        self.cluster.create(self.dead, partitions=1)

    def delete(self):
        self.cluster.delete(self.topic, self.dead)

    def waiting(self):
        """Records above the group's committed offsets."""
        return self.cluster.lag(self.group, self.topic)

    def waiting_beside(self, key):
        """The same, in the partition of a key."""
        return self.cluster.lag(self.group, self.topic, key)

    def mourn(self, _trial):
        """Waits until what the bridge had sent before its death is answered for: the destination's records and its own commits.
        Answers whether records were left for it, so that it was killed at work: a broker of Kafka does not know what a consumer
        holds."""
        time.sleep(0.05)
        return self.waiting() > 0

    def dead_letters(self):
        return self.cluster.read(self.dead)

    def complaints(self):
        return []
