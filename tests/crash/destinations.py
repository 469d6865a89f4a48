"""The ends where records arrive: how a route names them, how far they are, and what the observer reads at the end."""


class Stream:
    """A Redis stream."""

    more = ""  # further keys of the route

    def __init__(self, client, url, key):
        self.client = client
        self.brokers = {"live": url}
        self.key = key
        self.to = f"{{ broker: live, stream: {key} }}"
        self.create()

    def create(self):
        self.client.delete(self.key)

    delete = create

    def length(self):
        return self.client.xlen(self.key)

    def put(self, body):
        self.client.xadd(self.key, {"body": body})

    def observe(self):
        """Every body from the first entry to the last, a page at a time."""
        bodies, start = [], "-"
        while page := self.client.xrange(self.key, start, "+", count=5000):
            bodies.extend(fields[b"body"] for _, fields in page)
            start = b"(" + page[-1][0]
        return bodies


class Queue:
    """A RabbitMQ queue, reached by its name."""

    more = ""

    def __init__(self, rabbitmq, name):
        self.rabbitmq = rabbitmq
        self.brokers = {"mq": rabbitmq.url}
        self.name = name
        self.to = f"{{ broker: mq, queue: {name} }}"
        self.create()

    def create(self):
        self.delete()
        self.rabbitmq.declare(self.name)

    def delete(self):
        self.rabbitmq.delete(self.name)

    def length(self):
        return self.rabbitmq.ready(self.name)

    def put(self, body):
        self.rabbitmq.publish(self.name, body)

    def observe(self):
        return self.rabbitmq.drain(self.name)


class Exchange(Queue):
    """A RabbitMQ queue behind an exchange that may vanish while the queue keeps what it has."""

    def __init__(self, rabbitmq, name):
        super().__init__(rabbitmq, name)
        self.to = f"{{ broker: mq, exchange: {name}, routing_key: record }}"

    def create(self):
        super().create()
        self.bind()

    def bind(self):
        """Creates the exchange where it is missing, and binds the queue to it."""
        self.rabbitmq.ask(lambda channel: channel.exchange_declare(self.name, "direct", durable=True))
        self.rabbitmq.ask(lambda channel: channel.queue_bind(self.name, self.name, "record"))

    def unbind(self):
        self.rabbitmq.ask(lambda channel: channel.queue_unbind(self.name, self.name, "record"))

    def delete_exchange(self):
        self.rabbitmq.ask(lambda channel: channel.exchange_delete(self.name))

    def delete(self):
        self.delete_exchange()
        super().delete()


class KeyedExchange(Queue):
    """A RabbitMQ queue behind an exchange with a binding for each key, which may be missing for a while."""

    def __init__(self, rabbitmq, name, keys):
        self.keys = keys
        super().__init__(rabbitmq, name)
        self.to = f'{{ broker: mq, exchange: {name}, routing_key: "{{payload.key}}" }}'

    def create(self):
        super().create()
        self.rabbitmq.ask(lambda channel: channel.exchange_declare(self.name, "direct", durable=True))
        for key in self.keys:
            self.bind(key)

    def bind(self, key):
        self.rabbitmq.ask(lambda channel: channel.queue_bind(self.name, self.name, key))

    def unbind(self, key):
        self.rabbitmq.ask(lambda channel: channel.queue_unbind(self.name, self.name, key))

    def delete(self):
        self.rabbitmq.ask(lambda channel: channel.exchange_delete(self.name))
        super().delete()


class Topic:
    """A Kafka topic of three partitions; a record's key is its own, so that a key stays in one of them."""

    more = ""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.brokers = {"log": cluster.broker}
        self.topic = cluster.fresh(name)
        self.to = f"{{ broker: log, topic: {self.topic} }}"
        self.cluster.create(self.topic)

    def delete(self):
        self.cluster.delete(self.topic)

    def length(self):
        return sum(self.cluster.ends(self.topic).values())

    def put(self, body):
        self.cluster.put(self.topic, body)

    def observe(self):
        return self.cluster.read(self.topic)


class TransactedTopic(Topic):
    """The same, written by transactions that hold the source's offsets too."""

    more = "    exactly_once: true\n"
