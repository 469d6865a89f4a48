"""Redis clients read what Rialto publishes: the channel and the exact bytes."""

import json
import uuid

import pytest

ROUTES = """\
routes:
  - from: mq/{source}
    to: "live/{name}:{{message_type}}:{{message_id}}"
    dead_letter: mq/{dead}
"""

PAYLOADS = {
    "plain": b'{"user_id":123}',
    "big integer": b'{"n":123456789012345678901234567890}',
    "digits of floats": b'{"f":0.30000000000000004,"e":1e22,"E":1E+22,"z":-0.0,"t":1.10}',
    "repeated keys": b'{"a":1,"a":2,"b":{"c":3,"c":3}}',
    "order of keys": b'{"z":1,"a":2,"m":3}',
    "spaces": b'{ "a" : [ 1 ,\t2 ] }',
    "escapes": b'{"s":"\\/\\u002f\\u0000\\ud83d\\ude00\\n"}',
    "raw unicode": '{"s":"é\u2028\U0001f600\x7f"}'.encode(),
    "a protocol in a string": b'{"s":"\\r\\nFLUSHALL\\r\\n*1\\r\\n$8\\r\\nFLUSHALL\\r\\n"}',
    "not an object": b'[1,2,{"a":null}]',
    "a string": b'"text"',
    "null": b"null",
}


def envelope(message_id, payload, message_type="notification_event", message_name="UserJoined"):
    return (
        f'{{"message_type":"{message_type}","message_name":"{message_name}","message_id":"{message_id}","payload":'.encode()
        + payload
        + b"}"
    )


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_redis_py_receives_the_envelope_byte_for_byte(name, queue, bridge, publish, subscribe, payload):
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(ROUTES.format(name=name, source=source, dead=dead))
    message_id = str(uuid.uuid4())
    body = envelope(message_id, payload)
    publish(source, body)
    assert subscriber.next() == (f"{name}:notification_event:{message_id}".encode(), body)
    assert subscriber.silent()


def test_redis_cli_psubscribe_shows_what_was_published(name, queue, bridge, publish, redis_cli):
    source, dead = queue("in"), queue("dead")
    pattern = f"{name}:notification_event:*"
    cli = redis_cli(pattern)
    bridge(ROUTES.format(name=name, source=source, dead=dead))
    for number in range(20):
        message_id = str(uuid.uuid4())
        body = envelope(message_id, b'{"number":%d}' % number)
        publish(source, body)
        assert cli.next() == (pattern.encode(), f"{name}:notification_event:{message_id}".encode(), body)


def test_a_pattern_hears_only_its_own_type(name, queue, bridge, publish, subscribe):
    source, dead = queue("in"), queue("dead")
    states, all_types = subscribe(f"{name}:ecst_event:*"), subscribe(f"{name}:*")
    bridge(ROUTES.format(name=name, source=source, dead=dead))
    for message_type in ("notification_event", "ecst_event", "domain_event"):
        publish(source, envelope("id-1", b"{}", message_type))
        assert all_types.next()[0] == f"{name}:{message_type}:id-1".encode()
    assert states.next()[0] == f"{name}:ecst_event:id-1".encode()
    assert states.silent()


def test_a_bare_payload_is_wrapped_with_the_names_of_its_transport(name, queue, bridge, publish, subscribe):
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(ROUTES.format(name=name, source=source, dead=dead))
    publish(source, b'{"user_id":123}', message_id="m-1", type="UserJoined")
    assert subscriber.next() == (f"{name}:notification_event:m-1".encode(), envelope("m-1", b'{"user_id":123}'))


def test_what_is_not_json_goes_to_the_dead_letter_queue_and_the_rest_flows_on(
    name, queue, bridge, publish, subscribe, take
):
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(ROUTES.format(name=name, source=source, dead=dead))
    publish(source, b"\xff\x00 not json", headers={"kept": "as it was"}, content_type=None)
    body = envelope("m-2", b"{}")
    publish(source, body)
    assert subscriber.next() == (f"{name}:notification_event:m-2".encode(), body)
    properties, buried = take(dead)
    assert buried == b"\xff\x00 not json"
    assert properties.headers["kept"] == "as it was"
    assert properties.headers["rialto-dead-reason"]
    assert properties.delivery_mode == 2


def test_a_stream_reader_finds_the_fields(name, queue, bridge, publish, live):
    source, dead = queue("in"), queue("dead")
    live.xgroup_create(f"{name}:s", "readers", mkstream=True)
    bridge(
        f"""\
routes:
  - from: mq/{source}
    to: {{ broker: live, stream: "{name}:s" }}
    key: "{{payload.user_id}}"
    dead_letter: mq/{dead}
"""
    )
    body = envelope("m-3", b'{"user_id":"u7"}')
    publish(source, body)
    answer = live.xreadgroup("readers", "redis-py", {f"{name}:s": ">"}, count=1, block=15000)
    live.delete(f"{name}:s")
    ((_, ((_, fields),)),) = answer
    assert fields[b"body"] == body
    assert fields[b"message_id"] == b"m-3"
    assert fields[b"message_name"] == b"UserJoined"
    assert fields[b"message_type"] == b"notification_event"
    assert fields[b"key"] == b"u7"


def test_pika_reads_properties_and_headers(queue, bridge, publish, take):
    source, dead, out = queue("in"), queue("dead"), queue("out")
    bridge(f'routes:\n  - {{ from: mq/{source}, to: "mq/{out}", dead_letter: mq/{dead} }}\n')
    body = envelope("m-4", b'{"a":1}')
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    publish(source, body, correlation_id="c-9", headers={"traceparent": trace})
    properties, received = take(out)
    assert received == body
    assert properties.message_id == "m-4"
    assert properties.type == "UserJoined"
    assert properties.content_type == "application/json"
    assert properties.correlation_id == "c-9"
    assert properties.delivery_mode == 2
    assert properties.headers["message_type"] == "notification_event"
    assert properties.headers["traceparent"] == trace


@pytest.mark.parametrize("source", ["stream", "channel", "pattern"])
def test_redis_py_is_a_source(name, queue, bridge, take, live, source):
    out, dead = queue("out"), queue("dead")
    wanted = {"stream": f"{name}:s, group: {name}", "channel": f"{name}:c", "pattern": f'"{name}:*"'}[source]
    bridge(
        f"""\
sources:
  in: {{ broker: live, {source}: {wanted}, dead_letter: mq/{dead} }}
routes:
  - {{ from: in, to: "mq/{out}" }}
"""
    )
    body = envelope("m-5", b'{"a":1}')
    if source == "stream":
        live.xadd(f"{name}:s", {"body": body})
    else:
        assert live.publish(f"{name}:c", body) == 1
    assert take(out)[1] == body
    live.delete(f"{name}:s")
    assert json.loads(body)["payload"] == {"a": 1}
