"""kcat and kafka-python read what Rialto writes to Kafka, and Rialto reads what they write."""

import json
import os
import subprocess
import time
import uuid

import pytest
from crash.kafka_cluster import Cluster
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.partitioner.default import murmur2

from .conftest import SECONDS

PARTITIONS = 7

TO_KAFKA = """\
name: witness
brokers:
  mq: {amqp}
  log: {{ kafka: {{ bootstrap_servers: [{kafka}] }} }}
sources:
  in: {{ broker: mq, queue: {queue}, dead_letter: log/{topic}.dead }}
routes:
  - {{ name: out, from: in, key: "{{payload.key}}", to: {to} }}
"""

FROM_KAFKA = """\
name: witness
brokers:
  log: {{ kafka: {{ bootstrap_servers: [{kafka}] }} }}
  live: {redis}
sources:
  in: {{ broker: log, topic: {topic}, group: {topic}, dead_letter: log/{topic}.dead }}
routes:
  - {{ from: in, to: "live/{topic}" }}
"""


@pytest.fixture
def cluster():
    one = Cluster.shared()
    yield one
    one.close()


@pytest.fixture
def topic(cluster, name):
    """A topic of seven partitions, and one for its dead letters."""
    cluster.create(name, PARTITIONS)
    cluster.create(f"{name}.dead", 1)
    yield name
    cluster.delete(name, f"{name}.dead")


@pytest.fixture
def to_kafka(bridge_alone, queue, topic):
    """Starts a bridge from a queue to the topic; answers the queue."""

    def start(to="log/{topic}"):
        source = queue("in")
        addresses = {"amqp": os.environ["RIALTO_TEST_AMQP_URL"], "kafka": os.environ["RIALTO_TEST_KAFKA"]}
        bridge_alone(TO_KAFKA.format(queue=source, topic=topic, to=to.format(topic=topic), **addresses))
        return source

    return start


@pytest.fixture
def from_kafka(bridge_alone, topic, subscribe):
    """Starts a bridge from the topic to a Redis channel; answers its subscriber."""
    subscriber = subscribe(topic)
    addresses = {"kafka": os.environ["RIALTO_TEST_KAFKA"], "redis": os.environ["RIALTO_TEST_REDIS_URL"]}
    subscriber.bridge = bridge_alone(FROM_KAFKA.format(topic=topic, **addresses))
    return subscriber


@pytest.fixture
def producer():
    client = KafkaProducer(bootstrap_servers=os.environ["RIALTO_TEST_KAFKA"])
    yield client
    client.close()


def records(topic, count, **settings):
    """The first `count` records of a topic, by kafka-python."""
    with_settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False} | settings
    consumer = KafkaConsumer(topic, bootstrap_servers=os.environ["RIALTO_TEST_KAFKA"], group_id=None, **with_settings)
    found, end = [], time.monotonic() + SECONDS
    while len(found) < count and time.monotonic() < end:
        for batch in consumer.poll(timeout_ms=200).values():
            found.extend(batch)
    consumer.close()
    assert len(found) == count, f"{len(found)} of {count} records came to {topic} within {SECONDS} s"
    return found


def kcat(*arguments, stdin=None):
    """What kcat prints."""
    command = ["kcat", "-q", "-b", os.environ["RIALTO_TEST_KAFKA"], "-X", "broker.address.family=v4", *arguments]
    return subprocess.run(command, input=stdin, check=True, capture_output=True, timeout=SECONDS).stdout


def headers(record):
    return {name: value for name, value in record.headers}


def test_kafka_python_reads_key_headers_and_payload_bytes(to_kafka, publish, topic):
    payload = '{"key":"Zoë","n":123456789012345678901234567890,"f":0.10,"twice":1,"twice":2,"s":"\\u00e9\\/"}'
    source, identity = to_kafka(), str(uuid.uuid4())
    publish(
        source,
        payload.encode(),
        message_id=identity,
        type="UserJoined",
        correlation_id="c-1",
        headers={"x-tenant": "acme", "x-number": 7},
    )
    [record] = records(topic, 1)
    envelope = (
        f'{{"message_type":"notification_event","message_name":"UserJoined","message_id":"{identity}","payload":{payload}}}'
    )
    assert record.value == envelope.encode()
    assert record.key == "Zoë".encode()
    found = headers(record)
    assert found["message_id"] == identity.encode()
    assert found["message_name"] == b"UserJoined"
    assert found["message_type"] == b"notification_event"
    assert found["correlation_id"] == b"c-1"
    assert found["x-tenant"] == b"acme"
    assert found["x-number"] == b"7"


def test_the_partition_is_the_one_that_javas_clients_choose(to_kafka, publish, topic):
    source = to_kafka()
    keys = [f"order-{number}" for number in range(60)] + ["", "é", "\U0001f600", "a" * 1000, "x\x00y"]
    keys = [key for key in keys if key]
    for key in keys:
        publish(source, json.dumps({"key": key}).encode())
    for record in records(topic, len(keys)):
        # Java: Utils.toPositive(Utils.murmur2(key)) % partitions.
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS, record.key
    assert len({record.partition for record in records(topic, len(keys))}) == PARTITIONS


def test_records_of_one_key_stay_in_the_order_of_the_queue(to_kafka, publish, topic):
    source = to_kafka()
    for number in range(300):
        publish(source, json.dumps({"key": f"k{number % 5}", "n": number}).encode())
    seen = {}
    for record in records(topic, 300):
        seen.setdefault(record.key, []).append(json.loads(record.value)["payload"]["n"])
    assert all(numbers == sorted(numbers) and len(numbers) == 60 for numbers in seen.values())


def test_kcat_reads_what_rialto_writes(to_kafka, publish, topic):
    source = to_kafka("{{ broker: log, topic: {topic}, envelope: payload }}")
    publish(source, b'{"key":"k", "spaced" : [1,  2]}', message_id="id-1", type="Spaced")
    assert records(topic, 1)
    printed = json.loads(kcat("-C", "-t", topic, "-o", "beginning", "-e", "-J"))
    assert printed["key"] == "k"
    assert printed["payload"] == '{"key":"k", "spaced" : [1,  2]}'
    pairs = dict(zip(printed["headers"][::2], printed["headers"][1::2]))
    assert (pairs["message_id"], pairs["message_name"]) == ("id-1", "Spaced")


def test_a_dead_letter_is_the_original_with_the_reason_beside_it(to_kafka, publish, topic):
    source = to_kafka()
    publish(source, b"not JSON at all \xff", message_id="bad-1", content_type="text/plain", headers={"x-tenant": "acme"})
    [record] = records(f"{topic}.dead", 1)
    assert record.value == b"not JSON at all \xff"
    found = headers(record)
    assert found["x-tenant"] == b"acme"
    assert found["rialto-dead-source"] == b"in"
    assert found["rialto-dead-reason"]
    assert found["rialto-dead-error"]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_rialto_reads_what_kcat_writes(from_kafka, topic, codec):
    lines = b"".join(b"k%d\t{\"n\":%d,\"pad\":\"%s\"}\n" % (number % 3, number, b"x" * 100) for number in range(50))
    kcat("-P", "-t", topic, "-K", "\t", "-z", codec, "-H", "message_name=Counted", "-H", "x-codec=" + codec, stdin=lines)
    events = [json.loads(from_kafka.next()[1]) for _ in range(50)]
    assert sorted(event["payload"]["n"] for event in events) == list(range(50))
    assert {event["message_name"] for event in events} == {"Counted"}


def test_the_id_of_a_record_is_its_header_or_else_its_place(from_kafka, producer, topic):
    producer.send(topic, b'{"n":1}', partition=2, headers=[("message_id", b"mine")]).get(SECONDS)
    assert json.loads(from_kafka.next()[1])["message_id"] == "mine"
    producer.send(topic, b'{"n":2}', partition=2).get(SECONDS)
    identity = json.loads(from_kafka.next()[1])["message_id"]
    assert uuid.UUID(identity).version == 5


def test_a_tombstone_is_an_event_whose_payload_is_null(from_kafka, producer, topic):
    producer.send(topic, None, key=b"gone", headers=[("message_name", b"Deleted")]).get(SECONDS)
    event = json.loads(from_kafka.next()[1])
    assert event["message_name"] == "Deleted"
    assert event["payload"] is None


def test_what_a_transaction_took_back_is_never_seen(from_kafka, topic):
    writer = KafkaProducer(bootstrap_servers=os.environ["RIALTO_TEST_KAFKA"], transactional_id=topic)
    writer.init_transactions()
    writer.begin_transaction()
    writer.send(topic, b'{"n":"taken back"}', partition=0).get(SECONDS)
    writer.abort_transaction()
    writer.begin_transaction()
    writer.send(topic, b'{"n":"committed"}', partition=0).get(SECONDS)
    writer.commit_transaction()
    writer.close()
    assert json.loads(from_kafka.next()[1])["payload"] == {"n": "committed"}
    assert from_kafka.silent()


def test_what_was_delivered_is_committed_when_the_bridge_has_stopped(from_kafka, producer, cluster, topic):
    for number in range(100):
        producer.send(topic, b'{"n":%d}' % number, key=b"k%d" % (number % 9))
    producer.flush()
    assert len([from_kafka.next() for _ in range(100)]) == 100
    from_kafka.bridge.terminate()
    committed = cluster.ask(lambda: cluster.client(KafkaAdminClient).list_group_offsets(topic))[topic]
    for partition, end in cluster.ends(topic).items():
        assert end == 0 or committed[TopicPartition(topic, partition.partition)].offset == end
    assert sum(cluster.ends(topic).values()) == 100
