"""What producers post: curl, the CloudEvents SDK in every mode, lines, and the `standardwebhooks` package as a signed sender."""

import datetime
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from crash.servers import free_port
from standardwebhooks import Webhook

from .conftest import SECONDS, RedisCli
from .test_cloudevents import event_of_the_sdk

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

POSTED = """\
name: witness
brokers:
  web: {{ http_server: {{ listen: "127.0.0.1:{port}" }} }}
  live: {redis}
sources:
  posted: {{ broker: web, path: /events{keys} }}
routes:
  - {{ from: posted, to: "live/{name}:{{message_type}}:{{message_id}}" }}
"""


class Producer:
    """A plain HTTP client of one path, and what is heard behind the bridge."""

    def __init__(self, port, name, subscriber):
        self.url = f"http://127.0.0.1:{port}/events"
        self.name = name
        self.subscriber = subscriber

    def post(self, body, headers, below=""):
        """(status, headers, what the JSON of the body says). A bridge that has just started may ask to come again."""
        until = time.monotonic() + SECONDS
        while True:
            request = urllib.request.Request(self.url + below, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                    return answer.status, answer.headers, json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > until:
                    return error.code, error.headers, json.load(error)
            time.sleep(0.1)

    def heard(self):
        """(type, id, the envelope) of what came next."""
        channel, body = self.subscriber.next()
        name, kind, identity = channel.decode().split(":")
        assert name == self.name
        return kind, identity, json.loads(body)


@pytest.fixture
def posted(name, bridge_alone, subscribe):
    def start(keys=""):
        port = free_port()
        subscriber = subscribe(f"{name}:*")
        bridge_alone(POSTED.format(port=port, redis=os.environ["RIALTO_TEST_REDIS_URL"], keys=keys, name=name))
        return Producer(port, name, subscriber)

    return start


def test_the_first_lines_of_the_manual(doors):
    resp = free_port()
    house = doors(f'resp: "127.0.0.1:{resp}"')
    cli = RedisCli("rialto:*", f"redis://127.0.0.1:{resp}")
    command = ["curl", "-sS", "--max-time", str(SECONDS), f"{house.url}/events/UserJoined", "-d", '{"user_id":123}']
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=2 * SECONDS).stdout)
    try:
        pattern, channel, body = cli.next()
    finally:
        cli.close()
    assert (pattern, channel) == (b"rialto:*", f"rialto:notification_event:{answer['message_id']}".encode())
    assert body.decode() == (
        '{"message_type":"notification_event","message_name":"UserJoined",'
        f'"message_id":"{answer["message_id"]}","payload":{{"user_id":123}}}}'
    )


ARRIVED = {
    "message_type": "domain_event",
    "message_name": "OrderPlaced",
    "message_id": "e-1",
    "payload": {"order": 7, "lines": ["a", "b"]},
}


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_an_event_of_the_sdk_arrives(posted, mode):
    producer = posted()
    write = {"binary": binding.to_binary, "structured": binding.to_structured}[mode]
    message = write(event_of_the_sdk(), JSONFormat())
    status, _, answer = producer.post(message.body, message.headers)
    assert (status, answer) == (200, {"message_id": "e-1"})
    assert producer.heard() == ("domain_event", "e-1", ARRIVED)


def test_an_attribute_of_the_sdk_may_be_any_text(posted):
    """Header values are percent-encoded by the HTTP binding."""
    producer = posted()
    event = event_of_the_sdk()
    event = CloudEvent(attributes={**event.get_attributes(), "type": 'Größe "100 %"'}, data=event.get_data())
    message = binding.to_binary(event, JSONFormat())
    assert producer.post(message.body, message.headers)[0] == 200
    assert producer.heard() == ("domain_event", "e-1", ARRIVED | {"message_name": 'Größe "100 %"'})


def test_a_batch_of_the_sdk_arrives_in_its_order(posted):
    producer = posted()
    event = event_of_the_sdk()
    ids = [f"e-{number}" for number in range(50)]
    events = [CloudEvent(attributes={**event.get_attributes(), "id": one}, data=event.get_data()) for one in ids]
    batch = b"[" + b",".join(JSONFormat().write(one) for one in events) + b"]"
    status, _, answer = producer.post(batch, {"content-type": "application/cloudevents-batch+json"})
    assert status == 200
    assert answer == {"accepted": 50, "results": [{"status": 200, "message_id": one} for one in ids]}
    assert [producer.heard() for _ in ids] == [("domain_event", one, ARRIVED | {"message_id": one}) for one in ids]


LINES = (
    b'{"message_type":"ecst_event","message_name":"A","message_id":"l-1","payload":{"n":1.10}}\n'
    b'{"event_id":"l-2","event":"B"}\r\n'
    b"\n"
    b'["no newline after it"]'
)


def test_lines_are_envelopes_or_payloads(posted):
    producer = posted()
    status, _, answer = producer.post(LINES, {"content-type": "application/x-ndjson"})
    assert (status, answer["accepted"]) == (200, 3)
    ids = [one["message_id"] for one in answer["results"]]
    heard = [producer.heard() for _ in range(3)]
    assert [(kind, one["message_name"], one["payload"]) for kind, _, one in heard] == [
        ("ecst_event", "A", {"n": 1.1}),
        ("notification_event", "B", {"event_id": "l-2", "event": "B"}),
        ("notification_event", "Event", ["no newline after it"]),
    ]
    assert [identity for _, identity, _ in heard] == ids
    assert ids[:2] == ["l-1", "l-2"]


def test_lines_of_the_sdk_arrive_where_the_source_says_what_they_are(posted):
    producer = posted(", decode: cloudevents")
    status, _, answer = producer.post(JSONFormat().write(event_of_the_sdk()) + b"\n", {"content-type": "application/x-ndjson"})
    assert (status, answer) == (200, {"accepted": 1, "results": [{"status": 200, "message_id": "e-1"}]})
    assert producer.heard() == ("domain_event", "e-1", ARRIVED)


def test_a_bad_line_is_told_and_the_others_arrive(posted):
    producer = posted()
    lines = b'{"event_id":"l-1"}\n{"event_id":\n{"event_id":"l-3"}\n'
    status, headers, answer = producer.post(lines, {"content-type": "application/x-ndjson"})
    assert (status, headers["content-type"]) == (207, "application/json")
    assert answer["accepted"] == 2
    good, bad, last = answer["results"]
    assert (good, last) == ({"status": 200, "message_id": "l-1"}, {"status": 200, "message_id": "l-3"})
    assert (bad["status"], bad["reason"], bad["index"]) == (400, "undecodable", 1)
    assert [producer.heard()[1] for _ in range(2)] == ["l-1", "l-3"]
    assert producer.subscriber.silent()


def test_a_body_that_is_no_json_is_a_problem(posted):
    producer = posted()
    status, headers, problem = producer.post(b"hello", {"content-type": "text/plain"})
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert (problem["status"], problem["reason"]) == (400, "undecodable")
    assert producer.subscriber.silent()


def test_a_key_sent_twice_is_delivered_once(posted):
    producer = posted()
    headers = {"content-type": "application/json", "Idempotency-Key": '"order-7"'}
    first = producer.post(b'{"n":1}', headers, "/Paid")
    again = producer.post(b'{"n":1}', headers, "/Paid")
    assert first[0] == again[0] == 200
    assert first[2] == again[2] == {"message_id": "order-7"}
    assert (first[1]["idempotent-replayed"], again[1]["idempotent-replayed"]) == (None, "true")
    kind, identity, event = producer.heard()
    assert (kind, identity, event["message_name"], event["payload"]) == ("notification_event", "order-7", "Paid", {"n": 1})
    assert producer.post(b'{"n":2}', headers, "/Paid")[0] == 422
    assert producer.subscriber.silent()


class Sender:
    """Signs as the package does; each part may be another than the true one."""

    def __init__(self, producer):
        self.producer = producer

    def send(self, identity, body=b'{"n":1}', secret=SECRET, age=0, signed=None):
        then = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(seconds=age)
        headers = {
            "content-type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(int(then.timestamp())),
            "webhook-signature": Webhook(secret).sign(identity, then, (signed or body).decode()),
        }
        return self.producer.post(body, headers, "/Paid")


@pytest.fixture
def sender(posted, tmp_path):
    file = tmp_path / "secrets"
    file.write_text(SECRET)
    return Sender(posted(f", verify: {{ standard_webhooks: {{ secret_files: [{file}] }} }}"))


def test_a_signed_sender_is_accepted(sender):
    assert sender.send("msg-1")[::2] == (200, {"message_id": "msg-1"})
    assert sender.send("msg-2", age=200)[0] == 200
    heard = [sender.producer.heard() for _ in range(2)]
    assert [(identity, event["message_name"], event["payload"]) for _, identity, event in heard] == [
        ("msg-1", "Paid", {"n": 1}),
        ("msg-2", "Paid", {"n": 1}),
    ]


@pytest.mark.parametrize(
    "forged",
    [{"secret": OTHER}, {"age": 400}, {"age": -400}, {"signed": b'{"n":2}'}],
    ids=["another secret", "too old", "too new", "another body"],
)
def test_a_forgery_is_refused_and_nothing_is_delivered(sender, forged):
    status, headers, problem = sender.send("forged", **forged)
    assert (status, problem["status"]) == (401, 401)
    assert headers["www-authenticate"]
    # Had it been delivered, it would come first.
    assert sender.send("true")[0] == 200
    assert sender.producer.heard()[1] == "true"
    assert sender.producer.subscriber.silent()


def test_who_does_not_sign_is_refused(sender):
    status, _, _ = sender.producer.post(b"{}", {"content-type": "application/json"})
    assert status == 401
    assert sender.producer.subscriber.silent()


def test_a_request_that_was_copied_is_delivered_once(sender):
    """Whoever sees a signed request can send it again as it is, and under no other id."""
    sent = []
    post = sender.producer.post

    def copying(*request):
        sent.append(request)
        return post(*request)

    sender.producer.post = copying
    assert sender.send("msg-1")[0] == 200
    ((body, headers, below),) = sent
    assert post(body, headers, below)[0] == 200
    assert post(body, headers | {"webhook-id": "msg-2"}, below)[0] == 401
    assert sender.producer.heard()[1] == "msg-1"
    assert sender.producer.subscriber.silent()
