"""The CloudEvents project's own Python SDK reads our events and writes the ones we read."""

import datetime
import json

import pika
import pytest
from cloudevents.core.bindings import amqp, http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

PAYLOAD = b'{"event_timestamp":"2023-03-07T09:26:02.588855","n":123456789012345678901234567890,"f":1.10,"n":2}'
ENVELOPE = (
    b'{"message_type":"ecst_event","message_name":"UserJoined","message_id":"9f62e977","payload":' + PAYLOAD + b"}"
)
STRUCTURED = "envelope: cloudevents"
BINARY = "envelope: { cloudevents: { mode: binary } }"


def routes(source, dead, destination, form):
    return f"""\
routes:
  - from: mq/{source}
    dead_letter: mq/{dead}
    to: {{ {destination}, {form} }}
"""


def check(event, message_type="ecst_event"):
    """The attributes that docs/wire.md promises, as the SDK understood them."""
    assert event.get_specversion() == "1.0"
    assert event.get_id() == "9f62e977"
    assert event.get_type() == "UserJoined"
    assert event.get_source() == "urn:rialto:witness"
    assert event.get_extension("messagetype") == message_type
    # A time without a zone is UTC.
    assert event.get_time() == datetime.datetime(2023, 3, 7, 9, 26, 2, 588855, tzinfo=datetime.UTC)
    assert event.get_data() == json.loads(PAYLOAD)


def as_message(properties, body):
    """A pika message as the SDK's AMQP binding wants it."""
    return amqp.AMQPMessage({"content-type": properties.content_type}, properties.headers or {}, body)


def test_structured_on_pubsub(name, queue, bridge, publish, subscribe):
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(routes(source, dead, f'broker: live, channel: "{name}:{{message_id}}"', STRUCTURED))
    publish(source, ENVELOPE)
    channel, body = subscriber.next()
    assert channel == f"{name}:9f62e977".encode()
    check(JSONFormat().read(None, body))
    assert PAYLOAD in body


def test_structured_on_a_stream(name, queue, bridge, publish, live):
    source, dead = queue("in"), queue("dead")
    bridge(routes(source, dead, f'broker: live, stream: "{name}:s"', STRUCTURED))
    publish(source, ENVELOPE)
    ((_, ((_, fields),)),) = live.xread({f"{name}:s": "0"}, block=15000)
    live.delete(f"{name}:s")
    check(JSONFormat().read(None, fields[b"body"]))
    assert fields[b"content_type"].startswith(b"application/cloudevents+json")


@pytest.mark.parametrize("form", [STRUCTURED, BINARY], ids=["structured", "binary"])
def test_the_amqp_binding_reads_both_modes(queue, bridge, publish, take, form):
    source, dead, out = queue("in"), queue("dead"), queue("out")
    bridge(routes(source, dead, f"broker: mq, queue: {out}", form))
    publish(source, ENVELOPE)
    properties, body = take(out)
    check(amqp.from_amqp(as_message(properties, body), JSONFormat(), CloudEvent))
    if form == BINARY:
        assert body == PAYLOAD
        assert properties.content_type == "application/json"
        assert properties.headers["cloudEvents_id"] == "9f62e977"
    else:
        assert properties.content_type.startswith("application/cloudevents+json")


@pytest.mark.parametrize("form", [STRUCTURED, BINARY], ids=["structured", "binary"])
def test_an_envelope_comes_back_from_a_cloudevent_byte_for_byte(name, queue, bridge, publish, subscribe, form):
    source, dead, middle = queue("in"), queue("dead"), queue("middle")
    subscriber = subscribe(f"{name}:*")
    bridge(
        routes(source, dead, f"broker: mq, queue: {middle}", form)
        + f'  - {{ from: mq/{middle}, dead_letter: mq/{dead}, to: "live/{name}:{{message_id}}" }}\n'
    )
    publish(source, ENVELOPE)
    assert subscriber.next() == (f"{name}:9f62e977".encode(), ENVELOPE)


def event_of_the_sdk():
    attributes = {
        "id": "e-1",
        "source": "/sdk",
        "type": "OrderPlaced",
        "messagetype": "domain_event",
        "time": datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC),
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes=attributes, data={"order": 7, "lines": ["a", "b"]})


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_rialto_reads_what_the_sdk_wrote(name, queue, bridge, channel, subscribe, mode, prefix):
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(
        f"""\
routes:
  - {{ from: mq/{source}, dead_letter: mq/{dead}, to: "live/{name}:{{message_type}}:{{message_id}}" }}
"""
    )
    write = {"binary": amqp.to_binary, "structured": amqp.to_structured}[mode]
    message = write(event_of_the_sdk(), JSONFormat())
    headers = {key.replace("cloudEvents_", prefix): value for key, value in message.application_properties.items()}
    properties = pika.BasicProperties(
        content_type=message.properties["content-type"], headers=headers, delivery_mode=2, message_id="not this one"
    )
    channel.basic_publish("", source, message.application_data, properties, mandatory=True)
    address, body = subscriber.next()
    assert address == f"{name}:domain_event:e-1".encode()
    read = json.loads(body)
    assert list(read) == ["message_type", "message_name", "message_id", "payload"]
    assert read == {
        "message_type": "domain_event",
        "message_name": "OrderPlaced",
        "message_id": "e-1",
        "payload": {"order": 7, "lines": ["a", "b"]},
    }


def test_rialto_reads_the_headers_of_the_http_binding_on_amqp(name, queue, bridge, channel, subscribe):
    """Many a Python service gives `to_binary` of HTTP, whose values are percent-encoded, to its AMQP client as it is."""
    source, dead = queue("in"), queue("dead")
    subscriber = subscribe(f"{name}:*")
    bridge(
        f"""\
routes:
  - {{ from: mq/{source}, dead_letter: mq/{dead}, to: "live/{name}:{{message_type}}:{{message_id}}" }}
"""
    )
    event = event_of_the_sdk()
    event = CloudEvent(attributes={**event.get_attributes(), "type": "Größe \"100 %\""}, data=event.get_data())
    message = http.to_binary(event, JSONFormat())
    assert message.headers["ce-id"] == "e-1"
    headers = {key: value for key, value in message.headers.items() if key.startswith("ce-")}
    (content_type,) = (value for key, value in message.headers.items() if key.lower() == "content-type")
    properties = pika.BasicProperties(content_type=content_type, headers=headers, delivery_mode=2)
    channel.basic_publish("", source, message.body, properties, mandatory=True)
    address, body = subscriber.next()
    assert address == f"{name}:domain_event:e-1".encode()
    assert json.loads(body)["message_name"] == "Größe \"100 %\""
    assert json.loads(body)["payload"] == {"order": 7, "lines": ["a", "b"]}
