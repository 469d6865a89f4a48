"""What happens to the bridge and its brokers: each scenario is one trial."""

import os
import signal
import time

from .destinations import Exchange, Queue, Stream
from .servers import OwnServer, RabbitMQ, redis_at, shared_redis
from .sources import WINDOW, QueueSource
from .trial import Trial

BACKLOG = 3000  # messages that wait in the source before each kill, so that it strikes under load


def from_queue(name):
    return QueueSource(RabbitMQ.shared(), name)


def stream(name):
    return Stream(shared_redis(), os.environ["RIALTO_TEST_REDIS_URL"], f"crash:{name}")


def queue(name):
    return Queue(RabbitMQ.shared(), f"crash.{name}.out")


def kills(name, directory, seed, destination, count, source=from_queue, environment=None, repeats=None):
    """SIGKILL at random instants under load; one in ten while the bridge is still starting."""
    wanted = environment is None and repeats != 0
    settings = {"events_planned": count, "confirmed_min": count * 100, "repeats_wanted": wanted}
    with Trial(name, directory, source(name), destination(name), seed, environment, **settings) as trial:
        for _ in range(count):
            trial.wait_backlog(BACKLOG)
            length = trial.destination.length()
            trial.bridge.start()
            starting = trial.dice.random() < 0.1
            if not starting:
                trial.wait_arrivals(length)
            time.sleep(trial.dice.uniform(0, 0.3))
            trial.bridge.kill()
            in_flight = trial.source.mourn(trial)
            most = trial.source.repeats_max if repeats is None else repeats
            trial.event("kill", most, fenced=True, in_flight=in_flight, starting=starting)
        trial.bridge.start()
        trial.bridge.wait_ready()
        return trial.finish()


def terms(name, directory, seed, destination, count, source=from_queue):
    """SIGTERM at random instants under load: nothing lost and nothing repeated (G16)."""
    settings = {"events_planned": count, "confirmed_min": count * 100}
    with Trial(name, directory, source(name), destination(name), seed, **settings) as trial:
        for _ in range(count):
            trial.wait_backlog(BACKLOG)
            length = trial.destination.length()
            trial.bridge.start()
            trial.wait_arrivals(length)
            time.sleep(trial.dice.uniform(0, 0.5))
            trial.bridge.terminate()
            trial.event("term", 0, fenced=True)
        trial.bridge.start()
        trial.bridge.wait_ready()
        return trial.finish()


def faults(trial, event, count, fault, ends=1):
    """Strikes a running bridge `count` times; each strike may repeat a window for each end of the path that it cuts."""
    trial.bridge.start()
    trial.bridge.wait_ready()
    for _ in range(count):
        time.sleep(trial.dice.uniform(0.3, 1.0))
        trial.wait_backlog(1)
        details = {"duplicates_max": ends * trial.source.repeats_max} | (fault(trial) or {})
        trial.event(event, **details)
        trial.wait_flow(event)
    return trial.finish()


def settings(count, ends=1, **more):
    return {"events_planned": count, "confirmed_min": count * 500, "returns_per_event": ends} | more


def close_connections(name, directory, seed, destination, ends, count=6):
    """The broker closes every connection, the producer's too."""
    rabbitmq = RabbitMQ.shared()
    more = settings(count, ends, repeats_wanted=True)
    with Trial(name, directory, QueueSource(rabbitmq, name), destination(name), seed, **more) as trial:
        return faults(trial, "connections closed", count, lambda _: rabbitmq.run("close_all_connections", "crash test"), ends)


def client_kill(name, directory, seed, count=10):
    """Redis closes every client's connection."""

    def strike(_):
        closed = shared_redis().client_kill_filter(_type="normal")
        if closed == 0:
            raise RuntimeError("CLIENT KILL found no connection to close")

    with Trial(name, directory, from_queue(name), stream(name), seed, **settings(count)) as trial:
        return faults(trial, "clients killed", count, strike)


def redis_restart(name, directory, seed, count=4):
    """SIGKILL of a Redis that keeps what it has acknowledged, down for a while."""
    server = OwnServer("redis", directory.with_name(f"{name}.redis"), "--appendonly", "yes", "--appendfsync", "always")
    url = f"redis://127.0.0.1:{server.port}"
    destination = Stream(redis_at(url), url, f"crash:{name}")

    def restart(trial):
        server.kill()
        time.sleep(trial.dice.uniform(0, 3))
        server.start()

    try:
        with Trial(name, directory, from_queue(name), destination, seed, **settings(count)) as trial:
            return faults(trial, "Redis restarted", count, restart)
    finally:
        server.stop()


def rabbitmq_restart(name, directory, seed, kill, count=2):
    """The broker that holds the source stops in order, or is killed. A killed one has forgotten acknowledgements that it had not
    written yet, so it may repeat any number, and not all in a row: a message that came and was acknowledged between two writes
    never reaches the disk, one written before them comes again. A stopped one forgets none."""
    server = OwnServer("rabbitmq", directory.with_name(f"{name}.rabbitmq"))

    def restart(trial):
        if kill:
            server.kill()
        else:
            server.stop()
        server.start()
        if not kill:
            return None
        return {"duplicates_max": len(trial.produced()) * max(trial.produced().values()), "repeats_skip": True}

    try:
        source = QueueSource(server.rabbitmq(), name)
        with Trial(name, directory, source, stream(name), seed, **settings(count)) as trial:
            source.rabbitmq.write_declarations()
            return faults(trial, "RabbitMQ restarted", count, restart)
    finally:
        server.stop()


def exchange_gone(name, directory, seed, count=4):
    """The destination's exchange is deleted, or its binding, and comes back: a fixed address pauses, nothing is lost."""
    destination = Exchange(RabbitMQ.shared(), f"crash.{name}.out")

    def vanish(trial):
        destination.delete_exchange() if trial.events % 2 else destination.unbind()
        time.sleep(trial.dice.uniform(0.2, 2))
        destination.bind()

    with Trial(name, directory, from_queue(name), destination, seed, **settings(count)) as trial:
        return faults(trial, "exchange or binding gone", count, vanish)


def source_deleted(name, directory, seed, count=3):
    """The source queue is deleted under the consumer and made again; what it held is the nemesis's own loss."""

    def delete(trial):
        trial.tell_producer("pause")
        highest = trial.produced()
        rabbitmq, queue = trial.source.rabbitmq, trial.source.queue
        answer = rabbitmq.ask(lambda channel: channel.queue_delete(queue))
        time.sleep(trial.dice.uniform(0, 2))
        rabbitmq.declare(queue)
        trial.tell_producer("resume")
        return {"waived_through": highest, "waived_max": answer.method.message_count + WINDOW}

    with Trial(name, directory, from_queue(name), stream(name), seed, **settings(count)) as trial:
        return faults(trial, "source deleted", count, delete, ends=0)


def memory_alarm(name, directory, seed, count=3):
    """RabbitMQ blocks every publisher for a while: the bridge waits, so nothing is sent twice."""
    server = OwnServer("rabbitmq", directory.with_name(f"{name}.rabbitmq"))
    rabbitmq = server.rabbitmq()

    def block(trial):
        rabbitmq.run("set_vm_memory_high_watermark", "0.00001")
        time.sleep(trial.dice.uniform(1, 4))
        rabbitmq.run("set_vm_memory_high_watermark", "0.4")

    try:
        destination = Queue(rabbitmq, f"crash.{name}.out")
        with Trial(name, directory, QueueSource(rabbitmq, name), destination, seed, **settings(count)) as trial:
            return faults(trial, "publishers blocked", count, block, ends=0)
    finally:
        server.stop()


def consumer_timeout(name, directory, seed, count=2):
    """The destination hangs until the broker closes the consumer's channel over its unacknowledged messages."""
    brokers = OwnServer("rabbitmq", directory.with_name(f"{name}.rabbitmq"))
    hanging = OwnServer("redis", directory.with_name(f"{name}.redis"))
    rabbitmq, url = brokers.rabbitmq(), f"redis://127.0.0.1:{hanging.port}"
    # The broker looks once a minute; here every second.
    for setting in ("consumer_timeout, 3000", "channel_tick_interval, 1000"):
        rabbitmq.run("eval", f"application:set_env(rabbit, {setting}).")

    def hang(trial):
        closed = rabbitmq.logged("delivery acknowledgement")
        hanging.signal(signal.SIGSTOP)
        trial.wait("the consumer timeout", lambda: rabbitmq.logged("delivery acknowledgement") > closed, seconds=30)
        time.sleep(trial.dice.uniform(0, 3))
        hanging.signal(signal.SIGCONT)

    try:
        source, destination = QueueSource(rabbitmq, name), Stream(redis_at(url), url, f"crash:{name}")
        with Trial(name, directory, source, destination, seed, **settings(count, 2)) as trial:
            return faults(trial, "consumer timed out", count, hang, ends=2)
    finally:
        hanging.signal(signal.SIGCONT)
        hanging.stop()
        brokers.stop()
