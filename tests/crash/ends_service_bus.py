"""Queues of the stand-in for Service Bus as the ends of a bridge. What arrived is read by Microsoft's own client."""

import base64
import time

from azure.servicebus import ServiceBusClient, ServiceBusReceiveMode

from .sources import WINDOW

LOCK_SECONDS = 30
DELIVERIES_MAX = 10_000  # a bridge that is killed often uses them up, and a dead letter would be a violation
READ_AT_ONCE = 500
BUSY_SECONDS = 10  # how long Microsoft's own clients leave a server alone that says by AMQP that it is busy, and so does the bridge


def drain(stand_in, queue):
    """Every body, in order, taken out by `azure-servicebus`."""
    bodies, due = [], stand_in.counts(queue)["active"]
    with ServiceBusClient.from_connection_string(stand_in.connection_string) as client:
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        with client.get_queue_receiver(queue, receive_mode=mode, prefetch_count=READ_AT_ONCE) as receiver:
            while len(bodies) < due:
                messages = receiver.receive_messages(max_message_count=READ_AT_ONCE, max_wait_time=20)
                if not messages:
                    raise RuntimeError(f"{queue}: only {len(bodies)} of {due} messages came")
                bodies.extend(b"".join(message.body) for message in messages)
    return bodies


class Destination:
    """A queue; without duplicate detection, so that every repeat is seen."""

    more = ""

    def __init__(self, stand_in, name, transport, **settings):
        self.stand_in = stand_in
        self.brokers = {"bus": stand_in.broker(transport)}
        self.busy_seconds = BUSY_SECONDS if transport == "amqp" else 0
        self.name = name
        self.to = f"{{ broker: bus, queue: {name} }}"
        self.stand_in.create(name, **settings)

    def delete(self):
        self.stand_in.delete(self.name)

    def length(self):
        return self.stand_in.counts(self.name)["active"]

    def put(self, body):
        """Adds a message of the nemesis's, after all that was on its way when the bridge died."""
        end = time.monotonic() + 10
        while any(self.stand_in.ask("GET", "/")["open"].values()):
            if time.monotonic() > end:
                raise RuntimeError("the stand-in still has connections of a bridge that is gone")
            time.sleep(0.01)
        self.stand_in.entity("POST", self.name, "/messages", [{"body_base64": base64.b64encode(body).decode()}])

    def observe(self):
        return drain(self.stand_in, self.name)


class DetectingDestination(Destination):
    """A queue that drops a message whose id it has seen: what a bridge sends again has the id that it had."""

    def __init__(self, stand_in, name, transport):
        super().__init__(stand_in, name, transport, dedup_seconds=86_400)

    def observe(self):
        if self.stand_in.counts(self.name)["duplicates"] == 0:
            raise RuntimeError("nothing came twice: the detection was never put to the test")
        return super().observe()


class Source:
    """A queue with its own dead letters."""

    repeats_max = WINDOW

    def __init__(self, stand_in, name):
        self.stand_in = stand_in
        self.queue = f"crash.{name}"
        self.dead = f"{self.queue}/$DeadLetterQueue"
        self.brokers = {"bus": stand_in.broker()}
        self.reads = f"{{ broker: bus, queue: {self.queue}, window: {WINDOW}, dead_letter: native }}"
        self.producer = ["crash.producer_service_bus", "--control", stand_in.control, "--queue", self.queue]

    def create(self):
        self.stand_in.create(self.queue, lock_seconds=LOCK_SECONDS, max_delivery_count=DELIVERIES_MAX)

    def delete(self):
        self.stand_in.delete(self.queue)

    def waiting(self):
        return self.stand_in.counts(self.queue)["active"]

    def mourn(self, trial):
        """Takes the locks of the bridge that is gone away, as time would: before that, later messages would overtake those
        that it held. Answers whether it held any."""
        trial.wait("the end of the receiver", lambda: self.stand_in.counts(self.queue)["consumers"] == 0, pause=0.01)
        held = self.stand_in.counts(self.queue)["locked"]
        self.stand_in.entity("POST", self.queue, "/expire")
        # What was on its way to the destination's broker has arrived by now, before the fence.
        time.sleep(0.03)
        return held > 0

    def dead_letters(self):
        return [base64.b64decode(message["body_base64"]) for message in self.stand_in.messages(self.dead)]

    def complaints(self):
        return []
