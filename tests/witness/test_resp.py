"""Clients that others wrote, at the RESP door: redis-cli, redis-py, ioredis, node-redis."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import redis
from crash.servers import free_port

NODE = Path(__file__).parent / "node"

CONFIGURATION = """\
name: doors
brokers: {{ hub: hub://, live: {redis} }}
gateway: {{ resp: "127.0.0.1:{port}" }}
routes: [{{ from: "hub/in:*", to: "live/{name}:{{message_name}}", match: {{ message_name: "User*" }} }}]
"""

EVENT = '{"message_type":"notification_event","message_name":"%s","message_id":"1","payload":{}}'


@pytest.fixture
def port(bridge_alone, name):
    """A bridge with an open RESP door, which sends what is published on `in:*` on to Redis."""
    port = free_port()
    bridge_alone(CONFIGURATION.format(redis=os.environ["RIALTO_TEST_REDIS_URL"], port=port, name=name))
    return port


@pytest.fixture(params=[2, 3])
def client(port, request):
    client = redis.Redis(port=port, protocol=request.param)
    yield client
    client.close()


def next_of(pubsub):
    message = pubsub.get_message(timeout=15)
    assert message is not None, "nothing came"
    return message["type"], message["pattern"], message["channel"], message["data"]


def test_redis_py_hears_channels_and_patterns_byte_for_byte(client):
    pubsub = client.pubsub()
    pubsub.psubscribe("app:*", b"\xff*")
    pubsub.subscribe("app:exact")
    assert [next_of(pubsub)[0] for _ in range(3)] == ["psubscribe", "psubscribe", "subscribe"]
    body = bytes(range(256))
    assert client.publish("app:1", body) == 1
    assert next_of(pubsub) == ("pmessage", b"app:*", b"app:1", body)
    assert client.publish("app:exact", b"") == 2
    assert sorted(next_of(pubsub)[0] for _ in range(2)) == ["message", "pmessage"]
    assert client.publish(b"\xff\r\n", b"x") == 1
    assert next_of(pubsub) == ("pmessage", b"\xff*", b"\xff\r\n", b"x")
    assert (client.pubsub_numpat(), client.pubsub_channels("app:*")) == (2, [b"app:exact"])
    assert client.ping() and client.echo("x") == b"x" and client.info()["loading"] == 0
    pubsub.close()


def test_redis_py_pipelines_publishes_into_a_route_and_hears_what_was_refused(client, subscribe, name):
    subscriber = subscribe(f"{name}:*")
    pipe = client.pipeline(transaction=False)
    for number in range(100):
        pipe.publish("in:x", EVENT % ("UserJoined" if number % 2 else "Other"))
    answers = pipe.execute(raise_on_error=False)
    assert answers[1::2] == [1] * 50, "settled before the reply, the source counted"
    assert all("unrouted" in str(answer) for answer in answers[0::2]), answers[0]
    for _ in range(50):
        assert subscriber.next()[0] == f"{name}:UserJoined".encode()
    with pytest.raises(redis.ResponseError, match="undecodable"):
        client.publish("in:x", "no JSON")


def test_redis_cli_listens_and_publishes(port):
    listening = subprocess.Popen(["redis-cli", "-p", str(port), "PSUBSCRIBE", "app:*"], stdout=subprocess.PIPE, text=True)
    try:
        assert [listening.stdout.readline().strip() for _ in range(3)] == ["psubscribe", "app:*", "1"]
        said = subprocess.run(["redis-cli", "-3", "-p", str(port), "PUBLISH", "app:x", "hello"], capture_output=True, text=True)
        assert said.stdout.strip() == "1"
        assert [listening.stdout.readline().strip() for _ in range(4)] == ["pmessage", "app:*", "app:x", "hello"]
    finally:
        listening.kill()
        listening.wait()
        listening.stdout.close()


@pytest.mark.parametrize("library", ["ioredis", "node-redis", "node-redis-resp3"])
def test_clients_on_node_listen_and_publish(port, library):
    run = subprocess.run(["node", NODE / "resp.mjs", library, str(port)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["counts"] == [1, 1, 1, 2, 0]
    expected = [["app:*", f"app:{n}", f'{{"n":{n}}}'] for n in (1, 2, 3)]
    assert found["heard"][:3] == expected
    assert sorted(found["heard"][3:], key=str) == sorted([["app:*", "app:exact", "ü"], [None, "app:exact", "ü"]], key=str)


def test_a_stopping_bridge_ends_its_clients_in_order(bridge_alone, name):
    port = free_port()
    bridge = bridge_alone(CONFIGURATION.format(redis=os.environ["RIALTO_TEST_REDIS_URL"], port=port, name=name))
    client = redis.Redis(port=port)
    pubsub = client.pubsub()
    pubsub.psubscribe("app:*")
    assert next_of(pubsub)[0] == "psubscribe"
    for number in range(1000):
        client.publish("app:x", number)
    stopping = time.monotonic()
    bridge.terminate()
    assert time.monotonic() - stopping < 5
    heard = [next_of(pubsub)[3] for _ in range(1000)]
    assert heard == [str(number).encode() for number in range(1000)]
    with pytest.raises(redis.ConnectionError):
        pubsub.get_message(timeout=5)
