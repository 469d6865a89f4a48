"""PyPI diator 0.1.2 and Rialto publish the same event, and nobody can tell which of them did."""

import asyncio
import os
import uuid

import orjson
import pytest
import redis.asyncio
from diator.message_brokers.protocol import Message
from diator.message_brokers.redis import RedisMessageBroker

ROUTES = """\
sources:
  in:
    broker: mq
    queue: {source}
    dead_letter: mq/{dead}
    event: {{ message_type: "{{header.message_type}}", message_name: "{{property.type}}" }}
routes:
  - from: in
    to: "live/{{prefix}}:{{message_type}}:{{message_id}}"
"""

PAYLOADS = {
    "its own documentation": {"event_id": "9f62e977", "event_timestamp": "2023-03-07T09:26:02.588855", "user_id": 123},
    "empty": {},
    "nested": {"a": [1, [2, {"b": None}]], "c": {"d": True}},
    "numbers": {"zero": -0.0, "small": 1e-7, "big": 2**63, "negative": -(2**63), "float": 0.1 + 0.2, "large": 1e22},
    "not a number": {"nan": float("nan"), "infinite": float("inf")},
    "unicode": {"é": "\U0001f600", "separator": "\u2028\u2029", "delete": "\x7f", "control": "\x00\x1f\t\n", "quote": '"\\/'},
    "a protocol": {"s": "\r\nFLUSHALL\r\n"},
}
TYPES = ["notification_event", "ecst_event", "domain_event", "with:colons:in it"]


def send_by_diator(message):
    async def send():
        client = redis.asyncio.Redis.from_url(os.environ["RIALTO_TEST_REDIS_URL"])
        try:
            await RedisMessageBroker(client).send_message(message)
        finally:
            await client.aclose()

    asyncio.run(send())


@pytest.fixture
def both(queue, bridge, publish, subscribe):
    """Publishes one message by diator and by Rialto; answers what a subscriber received from each."""

    def send(message, bare):
        source, dead = queue("in"), queue("dead")
        subscriber = subscribe(f"python_diator_channel:*:{message.message_id}")
        bridge(ROUTES.format(source=source, dead=dead))
        send_by_diator(message)
        by_diator = subscriber.next()
        if bare:
            publish(
                source,
                orjson.dumps(message.payload),
                message_id=str(message.message_id),
                type=message.message_name,
                headers={"message_type": message.message_type},
            )
        else:
            publish(source, orjson.dumps(message))
        by_rialto = subscriber.next()
        assert subscriber.silent()
        return by_diator, by_rialto

    return send


@pytest.mark.parametrize("bare", [True, False], ids=["bare payload", "envelope"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_channel_and_message_are_byte_equal(both, payload, bare):
    message = Message(message_type="notification_event", message_name="UserJoined", payload=payload)
    by_diator, by_rialto = both(message, bare)
    assert by_rialto == by_diator


@pytest.mark.parametrize("bare", [True, False], ids=["bare payload", "envelope"])
@pytest.mark.parametrize("message_type", TYPES)
def test_every_type_makes_the_same_channel(both, message_type, bare):
    message = Message(message_type=message_type, message_name="Ordre Créé \U0001f600", payload={"n": 1})
    by_diator, by_rialto = both(message, bare)
    assert by_rialto == by_diator
    assert by_rialto[0] == f"python_diator_channel:{message_type}:{message.message_id}".encode()


def test_diators_own_dataclass_reads_what_rialto_published(queue, bridge, publish, subscribe):
    source, dead = queue("in"), queue("dead")
    message_id = uuid.uuid4()
    subscriber = subscribe(f"python_diator_channel:*:{message_id}")
    bridge(ROUTES.format(source=source, dead=dead))
    headers = {"message_type": "ecst_event"}
    publish(source, b'{"user_id":123}', message_id=str(message_id), type="UserJoined", headers=headers)
    _, data = subscriber.next()
    fields = orjson.loads(data)
    read = Message(**fields | {"message_id": uuid.UUID(fields["message_id"])})
    assert read == Message(
        message_type="ecst_event", message_name="UserJoined", message_id=message_id, payload={"user_id": 123}
    )
    assert orjson.dumps(read) == data
