"""The official clients of Azure Service Bus against the stand-in, with no bridge between: what the stand-in answers is what they
expect of the service. `azure-servicebus` speaks AMQP by a library of its own, `@azure/service-bus` by rhea."""

import json
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest
from azure.core.credentials import AccessToken
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus import exceptions as refused
from witness.azure_client import WAIT, receive, text

SILENCE = 1  # seconds in which nothing must come


def send(client, queue, *messages):
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(list(messages))


def post(bus, queue, body, authorization, **headers):
    """(status, headers) of a send to the REST face."""
    request = urllib.request.Request(f"{bus.info['http']}/{queue}/messages", body, headers | {"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def test_every_property_of_a_message_comes_through(client, entity):
    queue = entity()
    properties = {"text": "x", "whole": 1, "negative": -(2**30), "part": 1.5, "yes": True, "when": datetime(2026, 1, 2, tzinfo=timezone.utc)}
    sent = ServiceBusMessage(
        bytes(range(256)),
        message_id="id",
        subject="subject",
        content_type="application/json",
        correlation_id="correlation",
        reply_to="reply",
        to="to",
        partition_key="key",
        time_to_live=timedelta(seconds=60),
        application_properties=properties,
    )
    send(client, queue, sent)
    with client.get_queue_receiver(queue) as receiver:
        [got] = receive(receiver, 1)
        receiver.complete_message(got)
    assert b"".join(got.body) == bytes(range(256))
    assert (got.message_id, got.subject, got.content_type, got.correlation_id) == ("id", "subject", "application/json", "correlation")
    assert (got.reply_to, got.to, got.partition_key, got.time_to_live) == ("reply", "to", "key", timedelta(seconds=60))
    assert (got.delivery_count, got.sequence_number) == (0, 1)
    read = {name.decode(): value for name, value in got.application_properties.items()}
    # The client makes a timestamp's milliseconds of a time and leaves them so.
    assert read == properties | {"text": b"x", "when": 1767312000000}


def test_a_batch_arrives_whole_and_in_order(bus, client, entity):
    queue = entity()
    with client.get_queue_sender(queue) as sender:
        batch = sender.create_message_batch()
        for number in range(200):
            batch.add_message(ServiceBusMessage(str(number), message_id=str(number)))
        sender.send_messages(batch)
    with client.get_queue_receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        assert [text(message) for message in receive(receiver, 200)] == [str(number) for number in range(200)]
    assert bus.counts(queue)["active"] == 0


def test_a_repeated_id_is_dropped_where_the_entity_detects_duplicates(bus, client, entity):
    queue = entity(dedup_seconds=60)
    for _ in range(3):
        send(client, queue, ServiceBusMessage("x", message_id="1"), ServiceBusMessage("y", message_id="2"))
    assert {key: bus.counts(queue)[key] for key in ("active", "duplicates")} == {"active": 2, "duplicates": 4}


def test_every_subscription_gets_its_own_copy(client, entity):
    topic = entity(subscriptions={"a": {}, "b": {}})
    with client.get_topic_sender(topic) as sender:
        sender.send_messages(ServiceBusMessage("x", message_id="1"))
    for subscription in "ab":
        with client.get_subscription_receiver(topic, subscription) as receiver:
            [got] = receive(receiver, 1)
            receiver.complete_message(got)
            assert (text(got), got.message_id) == ("x", "1")


def test_an_abandoned_message_comes_again_until_it_is_dead(bus, client, entity):
    queue = entity(max_delivery_count=3)
    send(client, queue, ServiceBusMessage("x"))
    with client.get_queue_receiver(queue) as receiver:
        for attempt in range(3):
            [got] = receive(receiver, 1)
            assert got.delivery_count == attempt
            receiver.abandon_message(got)
        assert receiver.receive_messages(max_wait_time=SILENCE) == []
    with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        [dead] = receive(receiver, 1)
        assert (dead.dead_letter_reason, dead.dead_letter_source) == ("MaxDeliveryCountExceeded", queue)
        receiver.complete_message(dead)
    assert bus.counts(queue)["dead_letter"] == 0


def test_a_lock_ends_unless_it_is_renewed(client, entity):
    queue = entity(lock_seconds=1)
    send(client, queue, ServiceBusMessage("renewed"), ServiceBusMessage("forgotten"))
    with client.get_queue_receiver(queue) as receiver, client.get_queue_receiver(queue) as other:
        renewed, forgotten = receive(receiver, 2)
        for _ in range(4):
            time.sleep(0.5)
            receiver.renew_message_lock(renewed)
        with pytest.raises(refused.MessageLockLostError):
            receiver.renew_message_lock(forgotten)
        with pytest.raises(refused.MessageLockLostError):
            receiver.complete_message(forgotten)
        receiver.complete_message(renewed)
        [again] = receive(other, 1)
        assert (text(again), again.delivery_count) == ("forgotten", 1)
        other.complete_message(again)


def test_a_dead_letter_has_its_reason(client, entity):
    queue = entity()
    send(client, queue, ServiceBusMessage("x", application_properties={"kept": 1}))
    with client.get_queue_receiver(queue) as receiver:
        receiver.dead_letter_message(receive(receiver, 1)[0], reason="why", error_description="because")
    with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        [dead] = receive(receiver, 1)
        receiver.complete_message(dead)
    assert (text(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == ("x", "why", "because")
    assert dead.application_properties[b"kept"] == 1


def test_a_session_is_in_order_and_has_one_reader(client, entity):
    queue = entity(sessions=True)
    send(client, queue, *[ServiceBusMessage(f"{session}{number}", session_id=session) for number in range(3) for session in "ab"])
    with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as first:
        assert first.session.session_id == "a"
        with pytest.raises(refused.SessionCannotBeLockedError), client.get_queue_receiver(queue, session_id="a") as second:
            pass
        with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as second:
            assert second.session.session_id == "b"
            assert [text(message) for message in receive(second, 3)] == ["b0", "b1", "b2"]
        first.session.set_state(b"state")
        assert first.session.get_state() == b"state"
        assert first.session.renew_lock() > datetime.now(timezone.utc)
        for message in receive(first, 3):
            first.complete_message(message)
    # What the second reader did not settle is there for the next one, in order.
    with client.get_queue_receiver(queue, session_id="b") as third:
        assert [text(message) for message in receive(third, 3)] == ["b0", "b1", "b2"]


def test_a_scheduled_message_waits_for_its_time_unless_it_is_cancelled(client, entity):
    queue = entity()
    with client.get_queue_sender(queue) as sender:
        messages = [ServiceBusMessage("later"), ServiceBusMessage("never")]
        due = datetime.now(timezone.utc) + timedelta(seconds=5)
        sequences = sender.schedule_messages(messages, due)
        sender.cancel_scheduled_messages(sequences[1])
    with client.get_queue_receiver(queue) as receiver:
        assert [text(message) for message in receiver.peek_messages(10)] == ["later"]
        assert receiver.receive_messages(max_wait_time=SILENCE) == []
        [got] = receive(receiver, 1)
        assert text(got) == "later"
        assert got.enqueued_time_utc >= due - timedelta(milliseconds=1)
        receiver.complete_message(got)


def test_a_deferred_message_is_there_for_who_knows_its_number(client, entity):
    queue = entity()
    send(client, queue, ServiceBusMessage("x"))
    with client.get_queue_receiver(queue) as receiver:
        [got] = receive(receiver, 1)
        receiver.defer_message(got)
        assert receiver.receive_messages(max_wait_time=SILENCE) == []
        [deferred] = receiver.receive_deferred_messages(got.sequence_number)
        assert text(deferred) == "x"
        receiver.complete_message(deferred)


def test_a_wrong_key_a_right_too_few_and_an_unknown_entity_are_refused(bus, client, entity):
    queue = entity()
    wrong = bus.connection_string.replace("SharedAccessKey=", "SharedAccessKey=x")
    with pytest.raises(refused.ServiceBusAuthenticationError), ServiceBusClient.from_connection_string(wrong, retry_total=0) as client_:
        send(client_, queue, ServiceBusMessage("x"))
    listens = f"listens-{queue}"
    bus.ask("POST", "/policies", {"name": listens, "key": "a2V5", "rights": ["Listen"]})
    weak = bus.connection_string.replace(bus.policy, listens).replace(bus.key, "a2V5")
    with pytest.raises(refused.ServiceBusAuthorizationError), ServiceBusClient.from_connection_string(weak, retry_total=0) as client_:
        send(client_, queue, ServiceBusMessage("x"))
    with pytest.raises(refused.MessagingEntityNotFoundError):
        send(client, f"{queue}.nobody", ServiceBusMessage("x"))
    assert bus.counts(queue)["accepted"] == 0


def test_a_message_over_the_limit_is_refused(bus, client, entity):
    queue = entity(max_message_bytes=4096)
    with pytest.raises(refused.MessageSizeExceededError):
        send(client, queue, ServiceBusMessage("x" * 5000))
    assert bus.counts(queue)["active"] == 0


def test_a_token_that_ends_detaches_its_links_and_a_new_one_attaches_again(bus, client, entity):
    queue = entity()
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("before"))
        assert [link["peer"] for link in bus.ask("GET", "/links") if link["path"] == queue] == ["sender"]
        bus.ask("POST", "/expire_tokens", {"entity": queue})
        assert [link for link in bus.ask("GET", "/links") if link["path"] == queue] == []
        sender.send_messages(ServiceBusMessage("after"))
    assert [message["body"] for message in bus.messages(queue)] == ["before", "after"]


def test_a_client_survives_detached_links_cut_connections_and_a_busy_server(bus, entity):
    queue = entity()
    with ServiceBusClient.from_connection_string(bus.connection_string, retry_total=3) as client, client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("0"))
        assert bus.ask("POST", "/detach", {"entity": queue})["detached"] == 1
        sender.send_messages(ServiceBusMessage("1"))
        assert bus.ask("POST", "/drop", {"entity": queue})["dropped"] == 1
        sender.send_messages(ServiceBusMessage("2"))
        bus.fault("throttle", entity=queue, count=1)
        sender.send_messages(ServiceBusMessage("3"))
    assert [message["body"] for message in bus.messages(queue)] == ["0", "1", "2", "3"]


def test_what_came_by_rest_is_read_by_amqp(bus, client, entity):
    queue = entity()
    authorization = bus.signature(f"https://any.servicebus.windows.net/{queue}/messages")
    broker = {"MessageId": "1", "Label": "subject", "CorrelationId": "c", "ContentType": "application/json"}
    batch = [
        {"Body": '{"é":1}', "BrokerProperties": broker, "UserProperties": {"Tenant": "Ü", "n": 3, "big": 2**40, "part": 1.5, "yes": True}},
        {"Body": "second"},
    ]
    content_type = "application/vnd.microsoft.servicebus.json"
    assert post(bus, queue, json.dumps(batch).encode(), authorization, **{"Content-Type": content_type})[0] == 201
    single = {"Content-Type": "x/y", "BrokerProperties": '{"MessageId":"3","TimeToLiveTimeSpan":"00:01:00"}', "Priority": '"high"'}
    assert post(bus, queue, b"\xff\x00", authorization, **single)[0] == 201
    with client.get_queue_receiver(queue) as receiver:
        first, second, third = receive(receiver, 3)
    assert (text(first), first.message_id, first.subject, first.correlation_id) == ('{"é":1}', "1", "subject", "c")
    assert first.content_type == "application/json"
    assert first.application_properties == {b"Tenant": "Ü".encode(), b"n": 3, b"big": 2**40, b"part": 1.5, b"yes": True}
    assert text(second) == "second"
    assert (b"".join(third.body), third.content_type, third.time_to_live) == (b"\xff\x00", "x/y", timedelta(seconds=60))
    assert third.application_properties[b"Priority"] == b"high"


def test_rest_refuses_what_azure_documents_that_it_refuses(bus, entity):
    queue = entity(max_message_bytes=1000)
    good = bus.signature(f"https://x/{queue}")
    batch = {"Content-Type": "application/vnd.microsoft.servicebus.json"}
    assert post(bus, queue, b"x", bus.signature(f"https://x/{queue}", key="wrong"))[0] == 401
    assert post(bus, queue, b"x", bus.signature(f"https://x/{queue}", seconds=-5))[0] == 401
    assert post(bus, queue, b"x", bus.signature("https://x/another"))[0] == 401
    assert post(bus, queue, b"x", "Bearer nobody")[0] == 401
    assert post(bus, f"{queue}.nobody", b"x", bus.signature("https://x/"))[0] == 404
    assert post(bus, queue, b"x" * 1001, good)[0] == 413
    assert post(bus, queue, b"[]", good, **batch)[0] == 400
    assert post(bus, queue, b'[{"Body":"x","BrokerProperties":{"Subject":"Label is its name"}}]', good, **batch)[0] == 400
    bus.fault("throttle", entity=queue, count=1, retry_after=7)
    status, headers = post(bus, queue, b"x", good)
    assert (status, headers["Retry-After"]) == (429, "7")
    bus.ask("POST", "/tokens", {"token": f"token-{queue}", "entity": queue})
    assert post(bus, queue, b"x", f"Bearer token-{queue}")[0] == 201
    assert bus.counts(queue)["accepted"] == 1


def test_a_signature_given_by_the_application_is_enough(bus, entity):
    queue = entity()
    address = bus.info["amqp"].removeprefix("amqp://")
    signature = bus.signature(f"sb://{address}/{queue}")
    # The client has no other way to be told of a port and of no encryption than a connection string.
    token = f"Endpoint=sb://{address};SharedAccessSignature={signature};UseDevelopmentEmulator=true"
    with ServiceBusClient.from_connection_string(token) as client:
        send(client, queue, ServiceBusMessage("x"))
    assert bus.counts(queue)["active"] == 1


class Bearer:
    """A credential of Entra ID, as far as the client is concerned."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_scopes, **_):
        return AccessToken(self.token, int(time.time()) + 3600)


def test_a_bearer_token_is_good_until_it_is_revoked(bus, entity):
    queue = entity()
    token, address = f"token-{queue}", bus.info["amqp"].removeprefix("amqp://")
    bus.ask("POST", "/tokens", {"token": token, "entity": queue})
    with ServiceBusClient(address, Bearer(token), use_tls=False, retry_total=0) as client:
        send(client, queue, ServiceBusMessage("x"))
    bus.ask("DELETE", "/tokens", {"token": token})
    with pytest.raises(refused.ServiceBusAuthenticationError):
        with ServiceBusClient(address, Bearer(token), use_tls=False, retry_total=0) as client:
            send(client, queue, ServiceBusMessage("y"))
    assert bus.counts(queue)["accepted"] == 1


def test_the_client_for_node_gets_along_with_it_too(bus, entity, node):
    queue, topic, sessions = entity(dedup_seconds=60), entity(subscriptions={"s": {"max_delivery_count": 5}}), entity(sessions=True)
    script = node("service_bus_stand_in.mjs", bus.connection_string, queue, topic, sessions)
    output, _ = script.communicate(timeout=60)
    assert script.returncode == 0, script.log.read_text()
    assert json.loads(output) == {
        "received": {"body": "hello", "messageId": "1", "subject": "subject", "contentType": "text/plain", "correlationId": "c",
                     "applicationProperties": {"whole": 1, "text": "x", "yes": True}, "deliveryCount": 0},
        "batch": [f"b{number}" for number in range(100)],
        "renewed": True,
        "again": {"body": "b0", "deliveryCount": 1, "applicationProperties": {"x": 7}},
        "dead": {"body": "b1", "deadLetterReason": "why", "deadLetterErrorDescription": "because"},
        "duplicates": 1,
        "peeked": ["once", "later"],
        "scheduled": "later",
        "session": {"id": "s", "state": {"a": 1}, "bodies": [1, 2, 3], "taken": "SessionCannotBeLocked"},
        "unknown": "MessagingEntityNotFound",
        "wrongKey": "UnauthorizedAccess",
    }  # fmt: skip
