"""The servers, a bridge per test, and names that no two tests share."""

import os
import pathlib
import subprocess
import time
import urllib.request
import uuid

import pika
import pytest
import redis
from azure.servicebus import ServiceBusClient
from crash.bridge import Bridge
from crash.servers import free_port
from crash.service_bus import StandIn

SECONDS = 15  # how long a witness waits for what must come

BROKERS = """\
name: witness
prefix: python_diator_channel
brokers:
  mq: {amqp}
  live: {redis}
"""


BUS_BROKERS = """\
name: witness
brokers:
  mq: {amqp}
  bus: {bus}
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
def bridge_alone(tmp_path):
    """Starts Rialto on a configuration that names its brokers; at the end SIGTERM must end it with 0."""
    started = []

    def start(configuration):
        one = Bridge(tmp_path, configuration)
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
def bridge(bridge_alone):
    """The same on routes between the RabbitMQ and the Redis of the tests."""
    head = BROKERS.format(amqp=os.environ["RIALTO_TEST_AMQP_URL"], redis=os.environ["RIALTO_TEST_REDIS_URL"])
    return lambda configuration: bridge_alone(head + configuration)


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


@pytest.fixture
def bus():
    """The stand-in for Service Bus."""
    return StandIn.shared()


@pytest.fixture
def entity(bus, name):
    """Creates a queue or topic of this test's own in it and answers its name."""
    made = []

    def create(**settings):
        made.append(f"{name}.{len(made)}")
        bus.create(made[-1], **settings)
        return made[-1]

    yield create
    for one in made:
        bus.delete(one)


@pytest.fixture
def between(bridge_alone, bus):
    """A bridge between the RabbitMQ of the tests and the stand-in."""

    def start(configuration, transport=None):
        head = BUS_BROKERS.format(amqp=os.environ["RIALTO_TEST_AMQP_URL"], bus=bus.broker(transport))
        return bridge_alone(head + configuration)

    return start


@pytest.fixture
def client(bus):
    """Microsoft's Python client for Service Bus."""
    with ServiceBusClient.from_connection_string(bus.connection_string, retry_total=1) as client:
        yield client


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

    def __init__(self, pattern, url=None):
        url = url or os.environ["RIALTO_TEST_REDIS_URL"]
        command = ["redis-cli", "-u", url, "PSUBSCRIBE", pattern]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert [self.line() for _ in range(3)] == [b"psubscribe", pattern.encode(), b"1"]

    def line(self):
        return self.process.stdout.readline().rstrip(b"\n")

    def next(self):
        """(pattern, channel, message)."""
        assert self.line() == b"pmessage"
        return self.line(), self.line(), self.line()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def redis_cli():
    running = []

    def on(pattern):
        running.append(RedisCli(pattern))
        return running[-1]

    yield on
    for one in running:
        one.close()


DOORS = """\
name: witness
brokers:
  web: {{ http_server: {{ listen: "127.0.0.1:{port}" }} }}
  hub: hub://
gateway: {{ http: web, {gateway} }}
sources:
  events: {{ broker: web, path: /events }}
routes:
  - {{ from: events, to: "hub/rialto:{{message_type}}:{{message_id}}" }}
"""


class Doors:
    """A bridge without any other server: events come by POST and go to the hub, whose doors are open."""

    def __init__(self, bridge, port):
        self.bridge = bridge
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"

    def post(self, name, body, **headers):
        """(status, body) of an event sent by POST."""
        request = urllib.request.Request(f"{self.url}/events/{name}", body, {"content-type": "application/json"} | headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read()


@pytest.fixture
def doors(tmp_path):
    started = []

    def start(gateway="clients: 1000"):
        port = free_port()
        one = Bridge(tmp_path, DOORS.format(port=port, gateway=gateway))
        one.start()
        started.append(one)
        one.wait_ready()
        return Doors(one, port)

    yield start
    for one in started:
        try:
            if one.process.poll() is None:
                one.terminate()
        finally:
            one.stop()


@pytest.fixture
def node(tmp_path):
    """Runs a script of tests/witness/node; answers the process, whose standard output is a line of JSON each time it says something."""
    running = []
    here = pathlib.Path(__file__).parent / "node"

    def run(script, *arguments):
        modules = os.environ["RIALTO_TEST_NODE_MODULES"]
        with open(tmp_path / f"{script}.log", "w") as log:
            running.append(
                subprocess.Popen(
                    ["node", here / script, *arguments], stdout=subprocess.PIPE, stderr=log, env=os.environ | {"NODE_PATH": modules}, text=True
                )
            )
        running[-1].log = tmp_path / f"{script}.log"
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.wait()
        one.stdout.close()
