"""What the tests with Microsoft's Python client for Service Bus have in common."""

import time

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
