"""What Rialto sends to Service Bus, Microsoft's own clients read; and it equals what diator's broker for Azure sends."""

import asyncio
import base64
import json
import uuid
from datetime import datetime, timedelta, timezone

import orjson
import pytest
from azure.servicebus.aio import ServiceBusClient as AsyncServiceBusClient
from diator.message_brokers.azure import AzureMessageBroker
from diator.message_brokers.protocol import Message
from witness.azure_client import PAYLOAD, TRACE, WAIT, envelope, receive, text

TRANSPORTS = ["https", "amqp"]
HEADERS = {"message_type": "ecst_event", "Tenant": "Ümläut", "attempt": 3, "yes": True, "traceparent": TRACE}

OUT = """\
sources:
  in:
    broker: mq
    queue: {source}
    dead_letter: mq/{dead}
    event: {{ message_type: "{{header.message_type}}", message_name: "{{property.type}}" }}
routes:
  - {{ from: in, to: {{ broker: bus, {to} }} }}
"""


@pytest.fixture
def sent(between, queue, publish):
    """Sends one message from RabbitMQ to an entity, through Rialto."""

    def send(transport, to, body=PAYLOAD, headers=HEADERS, **properties):
        source, dead = queue("in"), queue("dead")
        between(OUT.format(source=source, dead=dead, to=to), transport)
        publish(source, body, headers=headers, **({"type": "UserJoined"} | properties))

    return send


def only(client, queue):
    with client.get_queue_receiver(queue) as receiver:
        [message] = receive(receiver, 1)
        receiver.complete_message(message)
        return message


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_rialto_sends_the_python_client_reads(client, entity, sent, transport):
    target, message_id = entity(), str(uuid.uuid4())
    sent(transport, f"queue: {target}", message_id=message_id, correlation_id="order-7", reply_to="answers")
    got = only(client, target)
    assert b"".join(got.body) == envelope(message_id)
    assert (got.message_id, got.subject, got.content_type) == (message_id, "UserJoined", "application/json")
    assert (got.correlation_id, got.reply_to) == ("order-7", "answers")
    read = {name.decode(): value for name, value in got.application_properties.items()}
    expected = HEADERS | {"message_type": b"ecst_event", "Tenant": "Ümläut".encode(), "traceparent": TRACE.encode()}
    assert {name: read[name] for name in expected} == expected
    assert read["Diagnostic-Id"] == TRACE.encode()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_rialto_sends_to_a_topic_the_node_client_reads(bus, entity, sent, node, transport):
    topic, message_id = entity(subscriptions={"all": {}}), str(uuid.uuid4())
    sent(transport, f"topic: {topic}", message_id=message_id, correlation_id="order-7")
    script = node("service_bus.mjs", "receive", bus.connection_string, topic, "all")
    output, _ = script.communicate(timeout=WAIT * 2)
    assert script.returncode == 0, script.log.read_text()
    got = json.loads(output)
    assert base64.b64decode(got.pop("body")) == envelope(message_id)
    properties = got.pop("applicationProperties")
    assert got == {
        "messageId": message_id, "subject": "UserJoined", "contentType": "application/json", "correlationId": "order-7", "deliveryCount": 0,
    }  # fmt: skip
    assert {name: properties[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_a_key_and_a_time_to_come(client, entity, sent, transport):
    target = entity(sessions=True)
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=4)
    fields = 'session_id: "{payload.customer}", scheduled_at: "{payload.at}", properties: { region: "{payload.region}" }'
    payload = json.dumps({"customer": "c-7", "region": "north", "at": due.isoformat()}).encode()
    sent(transport, f"queue: {target}, {fields}", payload, message_id="1")
    with client.get_queue_receiver(target, session_id="c-7") as receiver:
        assert receiver.receive_messages(max_wait_time=1) == []
        [got] = receive(receiver, 1)
        receiver.complete_message(got)
    assert (got.session_id, got.application_properties[b"region"]) == ("c-7", b"north")
    assert got.enqueued_time_utc >= due


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_diators_own_message_equals_ours(client, bus, entity, sent, transport):
    """diator sets a body and a content type; ours has the same, and an identity and a name besides."""
    topic = entity(subscriptions={"all": {}})
    payload = {"event_timestamp": "2023-03-07T09:26:02.588855", "user_id": 123, "u": "é\U0001f600", "f": 0.1 + 0.2}
    message = Message(message_type="ecst_event", message_name="UserJoined", payload=payload)

    async def by_diator():
        broker = AzureMessageBroker(AsyncServiceBusClient.from_connection_string(bus.connection_string), topic)
        await broker.send_message(message)

    asyncio.run(by_diator())
    sent(transport, f"topic: {topic}", orjson.dumps(message), headers=None)
    with client.get_subscription_receiver(topic, "all") as receiver:
        theirs, ours = receive(receiver, 2)
        for one in (theirs, ours):
            receiver.complete_message(one)
    assert text(ours) == text(theirs)
    assert orjson.loads(text(theirs)) == orjson.loads(orjson.dumps(message))
    for what in ("content_type", "body_type", "to", "reply_to", "session_id", "correlation_id", "time_to_live", "partition_key"):
        assert getattr(ours, what) == getattr(theirs, what), what
    assert (theirs.subject, theirs.application_properties) == (None, None)
    assert (ours.message_id, ours.subject) == (str(message.message_id), "UserJoined")
