"""The producer into a RabbitMQ queue: numbered records per key, persistent, confirmed, mandatory.

`u` in its log says that the connection died before the confirm, or that the broker gave the message back.
"""

import itertools
import time
from collections import OrderedDict

import pika

from . import producing, record

OUTSTANDING_MAX = 600
BATCH = 150


class Producer(producing.Producer):
    """One connection at a time; when it dies everything unanswered is unknown and a new one is opened."""

    def __init__(self, options):
        super().__init__(options)
        self.waiting = OrderedDict()  # delivery tag -> place
        self.returned = set()  # message ids that the broker gave back
        self.backlog = 0
        self.measured_at = 0.0
        self.stopped = False
        self.order = None  # what is obeyed when the last confirm is in
        self.connection = self.channel = None

    def run(self):
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
            self.answer()
            time.sleep(0.2)
        self.orders.obeyed("stop")

    def tick(self):
        """Obeys what was said, and looks at the backlog, so that it stays bounded while the bridge is down."""
        for order in self.orders.new():
            self.order = order
        self.answer()
        if self.channel is not None and self.channel.is_open and not self.orders.paused:
            if time.monotonic() - self.measured_at > 0.1:
                self.measured_at = time.monotonic()
                self.channel.queue_declare(self.options.queue, passive=True, callback=self.measured)
            self.pump()
        self.connection.ioloop.call_later(producing.LOOK_EVERY, self.tick)

    def measured(self, answer):
        self.backlog = answer.method.message_count
        self.pump()

    def answer(self):
        """Answers an order once nothing is outstanding (`resume` at once)."""
        if self.order is None or (self.order != "resume" and self.waiting):
            return
        order, self.order = self.order, None
        if order != "stop":
            self.orders.obeyed(order)
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
        if self.orders.paused or room < BATCH // 2 or self.channel is None or not self.channel.is_open:
            return
        batch = list(itertools.islice(self.places, room))
        self.log.attempted(batch)
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
            self.log.outcome((key, seq), confirmed=positive and not given_back)
        self.answer()
        self.pump()

    def forget(self):
        """The connection is gone: what it had not answered stays unknown for ever."""
        for place in self.waiting.values():
            self.log.outcome(place, confirmed=False)
        self.waiting.clear()
        self.log.flush()
        self.returned.clear()
        self.channel = None


if __name__ == "__main__":
    Producer(producing.options("url", "queue")).run()
