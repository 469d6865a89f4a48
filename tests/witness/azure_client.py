"""What the tests with Microsoft's Python client for Service Bus have in common."""

import time

import orjson

# What a careless bridge changes.
PAYLOAD = b'{"user_id":123,"n":123456789012345678901234567890,"f":1.10,"u":"\xc3\xa9\xf0\x9f\x98\x80"}'
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WAIT = 15  # seconds until a message that must come has come


def receive(receiver, count):
    """Exactly so many messages, in the order in which they came."""
    got, end = [], time.monotonic() + WAIT
    while len(got) < count and time.monotonic() < end:
        got.extend(receiver.receive_messages(max_message_count=count - len(got), max_wait_time=1))
    assert len(got) == count
    return got


def text(message):
    return b"".join(message.body).decode()


def envelope(message_id, payload=PAYLOAD):
    head = {"message_type": "ecst_event", "message_name": "UserJoined", "message_id": message_id}
    return orjson.dumps(head | {"payload": None}).replace(b'"payload":null', b'"payload":' + payload)
