"""What Microsoft's own clients send to Service Bus, Rialto reads."""

import base64
import time
import uuid

import orjson
import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from witness.azure_client import PAYLOAD, TRACE, WAIT, envelope, receive

IN = """\
sources:
  in: {{ broker: bus, {source} }}
routes:
  - {{ from: in, to: mq/{out} }}
"""


def until_settled(bus, queue):
    """What was sent on is settled here: nothing is active, locked or dead."""
    end = time.monotonic() + WAIT
    while any(bus.counts(queue)[state] for state in ("active", "locked")):
        assert time.monotonic() < end, bus.counts(queue)
    assert bus.counts(queue)["dead_letter"] == 0


@pytest.mark.parametrize("by", ["queue", "subscription"])
def test_what_the_python_client_sends_rialto_reads(client, bus, entity, between, queue, take, by):
    source, out = entity(**({} if by == "queue" else {"subscriptions": {"all": {}}})), queue("out")
    read = f"queue: {source}" if by == "queue" else f"topic: {source}, subscription: all"
    between(IN.format(source=read, out=out))
    message_id = str(uuid.uuid4())
    properties = {"message_type": "ecst_event", "Tenant": "Ümläut", "attempt": 3, "yes": True, "traceparent": TRACE}
    with client.get_queue_sender(source) as sender:
        sender.send_messages(
            ServiceBusMessage(
                PAYLOAD, message_id=message_id, subject="UserJoined", content_type="application/json", correlation_id="order-7",
                application_properties=properties,
            )
        )  # fmt: skip
    got, body = take(out)
    assert body == envelope(message_id)
    assert (got.message_id, got.type, got.content_type, got.correlation_id) == (message_id, "UserJoined", "application/json", "order-7")
    assert {name: got.headers[name] for name in properties} == properties
    held = f"{source}/Subscriptions/all" if by == "subscription" else source
    until_settled(bus, held)


def test_what_the_node_client_sends_rialto_reads(bus, entity, between, queue, take, node):
    source, out, message_id = entity(), queue("out"), str(uuid.uuid4())
    between(IN.format(source=f"queue: {source}", out=out))
    script = node("service_bus.mjs", "send", bus.connection_string, source, message_id, base64.b64encode(PAYLOAD).decode())
    script.communicate(timeout=WAIT * 2)
    assert script.returncode == 0, script.log.read_text()
    # A batch: three bodies as bytes, and one that the client makes of an object.
    for number in range(3):
        got, body = take(out)
        assert body == envelope(f"{message_id}.{number}")
        assert (got.message_id, got.type) == (f"{message_id}.{number}", "UserJoined")
        assert got.headers["number"] == number
    got, body = take(out)
    assert orjson.loads(body) == orjson.loads(envelope(f"{message_id}.3", b'{"user_id":123}'))
    until_settled(bus, source)


def test_what_cannot_be_read_is_a_dead_letter_of_service_bus_with_its_reason(client, entity, between, queue):
    source, out = entity(), queue("out")
    between(IN.format(source=f"queue: {source}, decode: envelope", out=out))
    with client.get_queue_sender(source) as sender:
        sender.send_messages(ServiceBusMessage(b"\xff no JSON", message_id="1", application_properties={"kept": 1}))
    with client.get_queue_receiver(source, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        [dead] = receive(receiver, 1)
        receiver.complete_message(dead)
    assert b"".join(dead.body) == b"\xff no JSON"
    assert dead.dead_letter_reason == "undecodable"
    assert dead.dead_letter_error_description
    assert dead.application_properties[b"kept"] == 1


def test_each_session_is_read_in_its_order(client, bus, entity, between, queue, take):
    source, out = entity(sessions=True), queue("out")
    with client.get_queue_sender(source) as sender:
        for number in range(5):
            for session in "abc":
                payload = {"session": session, "number": number}
                sender.send_messages(ServiceBusMessage(orjson.dumps(payload), session_id=session))
    between(IN.format(source=f"queue: {source}, sessions: true", out=out))
    seen = {session: [] for session in "abc"}
    for _ in range(15):
        payload = orjson.loads(take(out)[1])["payload"]
        seen[payload["session"]].append(payload["number"])
    assert seen == {session: [0, 1, 2, 3, 4] for session in "abc"}
    until_settled(bus, source)
