"""The servers of a run: the shared ones by their addresses, and throw-away ones that a fault may stop."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pika
import pika.exceptions
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

SCRIPTS = Path(__file__).parent.parent / "brokers"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RabbitMQ:
    """One node, through a connection that opens again when a fault has closed it."""

    def __init__(self, url, control=None):
        self.url = url
        self.control = control
        self.open_channel = None

    @classmethod
    def shared(cls):
        return cls(os.environ["RIALTO_TEST_AMQP_URL"], os.environ.get("RIALTO_TEST_RABBITMQCTL"))

    def channel(self):
        """A fresh channel where the last one has died."""
        if self.open_channel is None or not self.open_channel.is_open:
            # Without heartbeats, because between two questions nobody serves this connection.
            parameters = pika.URLParameters(self.url)
            parameters.heartbeat = 0
            self.open_channel = pika.BlockingConnection(parameters).channel()
            self.open_channel.confirm_delivery()
        return self.open_channel

    def ask(self, question):
        """Asks on the open channel, and once more where a fault had closed it unseen."""
        try:
            return question(self.channel())
        except (pika.exceptions.AMQPConnectionError, pika.exceptions.ConnectionWrongStateError, pika.exceptions.ChannelWrongStateError):
            self.open_channel = None
            return question(self.channel())

    def declare(self, *queues):
        for queue in queues:
            self.ask(lambda channel, name=queue: channel.queue_declare(name, durable=True))

    def write_declarations(self):
        """Has the node write down what is declared: it confirms a queue before that, and forgets it where it is killed meanwhile."""
        self.run("eval", "mnesia:sync_log().")

    def delete(self, *queues):
        for queue in queues:
            self.ask(lambda channel, name=queue: channel.queue_delete(name))

    def ready(self, queue):
        """Messages that wait in the queue; those at a consumer are not counted."""
        return self.ask(lambda channel: channel.queue_declare(queue, passive=True)).method.message_count

    def consumers(self, queue):
        return self.ask(lambda channel: channel.queue_declare(queue, passive=True)).method.consumer_count

    def publish(self, queue, body):
        self.ask(lambda channel: channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True))

    def peek_redelivered(self, queue):
        """Whether the head of the queue had been at a consumer: it is taken and put back to its place."""
        method, _, _ = self.ask(lambda channel: channel.basic_get(queue))
        if method is None:
            return False
        self.channel().basic_nack(method.delivery_tag, requeue=True)
        return method.redelivered

    def drain(self, queue):
        """Takes everything out of the queue, in order."""
        bodies = []
        last = None
        for method, _, body in self.channel().consume(queue, inactivity_timeout=1):
            if method is None:
                break
            bodies.append(body)
            last = method.delivery_tag
        if last is not None:
            self.channel().basic_ack(last, multiple=True)
        self.channel().cancel()
        return bodies

    def logged(self, words):
        """How many lines of the node's log hold the words; none are known of a server given by its address alone."""
        if self.control is None:
            return 0
        files = (Path(self.control).parent / "log").glob("*.log")
        return sum(path.read_text(errors="replace").count(words) for path in files)

    def run(self, *command):
        """Asks the node's own control program; a server given by its address alone has none."""
        if self.control is None:
            raise RuntimeError("RIALTO_TEST_RABBITMQCTL must name a rabbitmqctl for RIALTO_TEST_AMQP_URL")
        subprocess.run([self.control, *command], check=True, capture_output=True, timeout=60)


class OwnServer:
    """A server of one run, started by the scripts of tests/brokers in a directory of the run."""

    def __init__(self, script, directory, *options):
        self.command = [SCRIPTS / script]
        self.directory = directory
        self.options = options
        # A campaign that was itself killed may have left one running over old data.
        self.stop()
        shutil.rmtree(directory, ignore_errors=True)
        self.start()
        self.port = (directory / "port").read_text().strip()

    def start(self):
        subprocess.run([*self.command, "start", self.directory, *self.options], check=True, timeout=120)

    def stop(self):
        subprocess.run([*self.command, "stop", self.directory], check=True, timeout=60)

    def signal(self, number):
        """Sends the signal to the recorded process."""
        pid = int((self.directory / "pid").read_text())
        os.kill(pid, number)
        return pid

    def kill(self):
        """SIGKILL, and waits until the process is gone."""
        pid = self.signal(signal.SIGKILL)
        while running(pid):
            time.sleep(0.01)

    def rabbitmq(self):
        """The client of a server that is a RabbitMQ."""
        return RabbitMQ(f"amqp://guest:guest@127.0.0.1:{self.port}", self.directory / "rabbitmqctl")


def running(pid):
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def redis_at(url):
    """A client that opens a new connection when a fault has closed its own."""
    retry = Retry(ConstantBackoff(0.1), 100)
    return redis.Redis.from_url(url, retry=retry, retry_on_error=[redis.ConnectionError, redis.BusyLoadingError])


def shared_redis():
    return redis_at(os.environ["RIALTO_TEST_REDIS_URL"])
