"""A foreign WebSocket client, Python's `websockets`, at the door `/ws`."""

import json
import pathlib
import re
import socket as socketlib
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .conftest import SECONDS


@pytest.fixture
def socket():
    opened = []

    def to(doors, **more):
        opened.append(connect(f"ws://{doors.host}/ws", open_timeout=SECONDS, **more))
        return opened[-1]

    yield to
    for one in opened:
        one.close()


def ask(socket, **request):
    socket.send(json.dumps(request))
    return json.loads(socket.recv(SECONDS))


def test_events_come_with_their_bytes_untouched_and_a_subscriber_comes_back_to_where_it_was(doors, socket):
    bridge = doors()
    client = socket(bridge, subprotocols=["rialto"])
    assert client.subprotocol == "rialto"
    ok = ask(client, op="subscribe", id=1, patterns=["rialto:*"])
    assert (ok["op"], ok["id"]) == ("ok", 1)
    payload = b'{"z": 123456789012345678901234567890, "a": 1.10, "a": 1.10}'
    assert bridge.post("UserJoined", payload)[0] == 200
    text = client.recv(SECONDS)
    assert f'"payload":{payload.decode()}' in text
    first = json.loads(text)
    assert first["message"]["message_name"] == "UserJoined"
    assert first["channel"] == f"rialto:notification_event:{first['message']['message_id']}"
    client.close()
    bridge.post("UserLeft", b"{}")
    back = socket(bridge)
    assert ask(back, op="subscribe", id=2, patterns=["rialto:*"], since=first["seq"])["op"] == "ok"
    assert json.loads(back.recv(SECONDS))["message"]["message_name"] == "UserLeft"
    stranger = socket(bridge)
    ask(stranger, op="subscribe", id=3, patterns=["rialto:*"], since="1-7")
    assert json.loads(stranger.recv(SECONDS))["op"] == "gap"


def test_a_publish_is_heard_by_others(doors, socket):
    bridge = doors()
    one, two = socket(bridge), socket(bridge)
    ask(one, op="subscribe", id=1, channels=["in:x"])
    ok = ask(two, op="publish", id="p", channel="in:x", message={"a": [1, None]})
    assert (ok["op"], ok["id"], ok["receivers"]) == ("ok", "p", 1)
    heard = json.loads(one.recv(SECONDS))
    assert (heard["channel"], heard["message"], "pattern" in heard) == ("in:x", {"a": [1, None]}, False)
    error = ask(two, op="shout", id=9)
    assert (error["op"], error["code"]) == ("error", "bad_request")


def test_a_message_that_is_too_large_ends_the_conversation_with_its_code(doors, socket):
    client = socket(doors(), max_size=None)
    client.send("x" * (1 << 20) + "x")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(SECONDS)
    assert closed.value.rcvd.code == 1009


def test_tokens_and_origins(doors, socket, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("open\nnarrow app:*\n")
    bridge = doors(f"tokens_file: {tokens}")
    with pytest.raises(InvalidStatus) as refused:
        socket(bridge)
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        socket(bridge, additional_headers={"Authorization": "Bearer open"}, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    by_header = socket(bridge, additional_headers={"Authorization": "Bearer narrow"})
    assert ask(by_header, op="subscribe", id=1, channels=["private"])["code"] == "forbidden"
    by_protocol = socket(bridge, subprotocols=["rialto", "bearer.open"])
    assert by_protocol.subprotocol == "rialto"
    assert ask(by_protocol, op="subscribe", id=1, channels=["private"])["op"] == "ok"


def test_a_thousand_clients_that_never_read_cost_a_bounded_amount_and_disturb_nobody(doors, socket):
    bridge = doors("clients: 2000, buffer: 64KiB")
    stuck = []
    for _ in range(1000):
        raw = socketlib.socket()
        raw.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", bridge.port))
        raw.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {bridge.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 101 ")
        text = b'{"op":"subscribe","patterns":["*"]}'
        raw.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        assert b'"op":"ok"' in raw.recv(4096)
        stuck.append(raw)
    quick = socket(bridge, max_size=None)
    ask(quick, op="subscribe", id=1, patterns=["*"])
    body = json.dumps("x" * 60_000)
    for _ in range(200):
        quick.send(f'{{"op":"publish","id":1,"channel":"c","message":{body}}}')
        answers = [json.loads(quick.recv(SECONDS)) for _ in range(2)]
        assert sorted(answer["op"] for answer in answers) == ["message", "ok"]
    end = time.monotonic() + SECONDS
    dropped = 'rialto_gateway_dropped_clients_total{protocol="websocket",reason="slow"} 1000'
    while dropped not in bridge.bridge.get("/metrics")[1].splitlines():
        assert time.monotonic() < end, bridge.bridge.get("/metrics")[1]
        time.sleep(0.1)
    # 12 MB were published to each: together they would be 12 GB.
    status = pathlib.Path(f"/proc/{bridge.bridge.process.pid}/status").read_text()
    most = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    assert most < 250_000, f"{most} kB"
    for raw in stuck:
        raw.close()
