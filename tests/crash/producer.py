"""The producer: numbered records per key, persistent, confirmed, mandatory; a process of its own.

Its log is the ground truth: `a KEY SEQ` is on disk before the publish, `c KEY SEQ` follows the broker's confirm, `u KEY SEQ`
says that the outcome is unknown (the connection died) or that the broker gave the message back. An unknown record is never
sent again, so every copy that arrives twice is the bridge's.

It is told `pause`, `resume` and `stop` on its standard input and answers each on its standard output.
"""

import argparse
import itertools
import os
import queue
import sys
import threading
import time
from collections import OrderedDict

import pika

from . import record

OUTSTANDING_MAX = 600
BATCH = 150


class Producer:
    """One connection at a time; when it dies everything unanswered is unknown and a new one is opened."""

    def __init__(self, options):
        self.options = options
        self.log = open(options.log, "a", encoding="ascii")
        keys = [f"k{number:02}" for number in range(options.keys)]
        self.places = ((key, seq) for seq in itertools.count(1) for key in keys)
        self.waiting = OrderedDict()  # delivery tag -> place
        self.returned = set()  # message ids that the broker gave back
        self.backlog = 0
        self.measured_at = 0.0
        self.commands = queue.SimpleQueue()
        self.paused = self.stopped = False
        self.answer = None  # what to say when the last confirm is in
        self.connection = self.channel = None

    def run(self):
        threading.Thread(target=self.listen, daemon=True).start()
        while not self.stopped:
            self.connection = pika.SelectConnection(
                pika.URLParameters(self.options.url),
                on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
                on_open_error_callback=lambda connection, _: connection.ioloop.stop(),
                on_close_callback=lambda connection, _: connection.ioloop.stop(),
            )
            self.tick()
            self.connection.ioloop.start()
            self.forget()
            self.settle()
            time.sleep(0.2)
        self.flush()
        print("stopped", flush=True)

    def listen(self):
        """Commands arrive on a thread of their own and are obeyed on the connection's."""
        for line in sys.stdin:
            self.commands.put(line.strip())

    def tick(self):
        """Obeys what was said, and looks at the backlog, so that it stays bounded while the bridge is down."""
        while not self.commands.empty():
            command = self.commands.get()
            self.paused = command != "resume"
            self.answer = {"pause": "paused", "resume": "resumed", "stop": "stop"}[command]
        self.settle()
        if self.channel is not None and self.channel.is_open and not self.paused:
            if time.monotonic() - self.measured_at > 0.1:
                self.measured_at = time.monotonic()
                self.channel.queue_declare(self.options.queue, passive=True, callback=self.measured)
            self.pump()
        self.connection.ioloop.call_later(0.02, self.tick)

    def measured(self, answer):
        self.backlog = answer.method.message_count
        self.pump()

    def settle(self):
        """Answers a command once nothing is outstanding (`resume` at once)."""
        if self.answer is None or (self.answer != "resumed" and self.waiting):
            return
        answer, self.answer = self.answer, None
        if answer != "stop":
            self.flush()
            print(answer, flush=True)
            return
        self.stopped = True
        if self.connection.is_open:
            self.connection.close()
        else:
            self.connection.ioloop.stop()

    def opened(self, channel):
        channel.add_on_close_callback(self.channel_closed)
        channel.add_on_return_callback(lambda _c, _m, properties, _b: self.returned.add(properties.message_id))
        channel.confirm_delivery(self.confirmed, callback=lambda _: self.ready(channel))

    def channel_closed(self, channel, _reason):
        if channel.connection.is_open:
            channel.connection.close()

    def ready(self, channel):
        self.tag = 0
        self.channel = channel
        self.pump()

    def pump(self):
        room = min(OUTSTANDING_MAX - len(self.waiting), self.options.backlog_max - self.backlog, BATCH)
        if self.paused or room < BATCH // 2 or self.channel is None or not self.channel.is_open:
            return
        batch = list(itertools.islice(self.places, room))
        self.log.writelines(f"a {key} {seq}\n" for key, seq in batch)
        self.flush()
        self.backlog += len(batch)
        for key, seq in batch:
            self.tag += 1
            self.waiting[self.tag] = (key, seq)
            self.channel.basic_publish(
                "",
                self.options.queue,
                record.body(self.options.run, key, seq),
                pika.BasicProperties(
                    delivery_mode=2,
                    content_type="application/json",
                    message_id=record.message_id(self.options.run, key, seq),
                ),
                mandatory=True,
            )

    def confirmed(self, frame):
        method = frame.method
        if method.multiple:
            tags = list(itertools.takewhile(lambda tag: tag <= method.delivery_tag, self.waiting))
        else:
            tags = [method.delivery_tag]
        positive = isinstance(method, pika.spec.Basic.Ack)
        for tag in tags:
            key, seq = self.waiting.pop(tag)
            given_back = record.message_id(self.options.run, key, seq) in self.returned
            self.log.write(f"{'c' if positive and not given_back else 'u'} {key} {seq}\n")
        self.settle()
        self.pump()

    def forget(self):
        """The connection is gone: what it had not answered stays unknown for ever."""
        self.log.writelines(f"u {key} {seq}\n" for key, seq in self.waiting.values())
        self.waiting.clear()
        self.flush()
        self.returned.clear()
        self.channel = None

    def flush(self):
        self.log.flush()
        os.fsync(self.log.fileno())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--backlog-max", type=int, default=8000)
    Producer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
