"""The two ends where records arrive: how a route names them, how far they are, and what the observer reads at the end."""


class Stream:
    """A Redis stream."""

    def __init__(self, client, url, key):
        self.client = client
        self.broker = f"live: {url}"
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

    def __init__(self, rabbitmq, name):
        self.rabbitmq = rabbitmq
        self.broker = None
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
