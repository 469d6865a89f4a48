"""The servers, a bridge per test, and names that no two tests share."""

import os
import subprocess
import time
import uuid

import pika
import pytest
import redis
from crash.bridge import Bridge

SECONDS = 15  # how long a witness waits for what must come

BROKERS = """\
name: witness
prefix: python_diator_channel
brokers:
  mq: {amqp}
  live: {redis}
"""


@pytest.fixture
def name():
    """Unique, so that what an earlier test left cannot be taken for this one's."""
    return f"witness-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def channel():
    """A pika channel with confirms; the queues declared through `queue` are deleted at the end."""
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["RIALTO_TEST_AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def queue(channel, name):
    """Declares a durable queue and answers its name."""
    declared = []

    def declare(suffix):
        declared.append(f"{name}.{suffix}")
        channel.queue_declare(declared[-1], durable=True)
        return declared[-1]

    yield declare
    for one in declared:
        channel.queue_delete(one)


@pytest.fixture
def live():
    client = redis.Redis.from_url(os.environ["RIALTO_TEST_REDIS_URL"])
    yield client
    client.close()


@pytest.fixture
def bridge(tmp_path):
    """Starts Rialto on the routes given; at the end SIGTERM must end it with 0."""
    started = []

    def start(configuration):
        head = BROKERS.format(amqp=os.environ["RIALTO_TEST_AMQP_URL"], redis=os.environ["RIALTO_TEST_REDIS_URL"])
        one = Bridge(tmp_path, head + configuration)
        one.start()
        started.append(one)
        one.wait_ready()
        return one

    yield start
    for one in started:
        try:
            if one.process.poll() is None:
                one.terminate()
        finally:
            one.stop()


@pytest.fixture
def publish(channel):
    """Publishes to a queue, persistent, confirmed, mandatory."""

    def send(queue, body, **properties):
        properties = {"content_type": "application/json", "delivery_mode": 2} | properties
        channel.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=True)

    return send


@pytest.fixture
def take(channel):
    """The next message of a queue: (properties, body)."""

    def next_of(queue):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return properties, body
            time.sleep(0.02)
        raise AssertionError(f"nothing came to {queue} within {SECONDS} s")

    return next_of


class Subscriber:
    """redis-py on a pattern."""

    def __init__(self, client, pattern):
        self.pubsub = client.pubsub()
        self.pubsub.psubscribe(pattern)
        assert self.pubsub.get_message(timeout=SECONDS)["type"] == "psubscribe"

    def next(self):
        """(channel, message), both as bytes."""
        message = self.pubsub.get_message(timeout=SECONDS)
        assert message is not None, f"nothing was published within {SECONDS} s"
        assert message["type"] == "pmessage"
        return message["channel"], message["data"]

    def silent(self, seconds=0.5):
        return self.pubsub.get_message(timeout=seconds) is None


@pytest.fixture
def subscribe(live):
    subscribers = []

    def on(pattern):
        subscribers.append(Subscriber(live, pattern))
        return subscribers[-1]

    yield on
    for one in subscribers:
        one.pubsub.close()


class RedisCli:
    """`redis-cli PSUBSCRIBE`, the way a person looks."""

    def __init__(self, pattern):
        url = os.environ["RIALTO_TEST_REDIS_URL"]
        command = ["redis-cli", "-u", url, "PSUBSCRIBE", pattern]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert [self.line() for _ in range(3)] == [b"psubscribe", pattern.encode(), b"1"]

    def line(self):
        return self.process.stdout.readline().rstrip(b"\n")

    def next(self):
        """(pattern, channel, message)."""
        assert self.line() == b"pmessage"
        return self.line(), self.line(), self.line()


@pytest.fixture
def redis_cli():
    running = []

    def on(pattern):
        running.append(RedisCli(pattern))
        return running[-1]

    yield on
    for one in running:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()
