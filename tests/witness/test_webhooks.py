"""What an endpoint gets: the two `standardwebhooks` packages verify our signatures, and the CloudEvents SDK reads our events."""

import http.server
import json
import os
import queue as queues
import subprocess
import threading

import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook, WebhookVerificationError

from .conftest import SECONDS
from .test_cloudevents import ENVELOPE, PAYLOAD, check

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

VERIFY = """\
const { createRequire } = require("module");
const { Webhook } = createRequire(process.argv[1] + "/")("standardwebhooks");
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
try { new Webhook(secret).verify(body, headers); console.log("verified"); } catch (error) { console.log(error.message); }
"""


class Endpoint(http.server.ThreadingHTTPServer):
    """Writes down what is posted."""

    def __init__(self):
        self.posts = queues.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.server.posts.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next(self):
        """(path, headers, body)"""
        return self.posts.get(timeout=SECONDS)


@pytest.fixture
def endpoint():
    server = Endpoint()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def posted(name, queue, bridge, publish, endpoint, tmp_path):
    """Publishes an envelope with a route to the endpoint, and answers what came there."""

    def post(form, secrets):
        source, dead = queue("in"), queue("dead")
        file = tmp_path / "secrets"
        file.write_text("\n".join(secrets))
        sign = f"sign: {{ standard_webhooks: {{ secret_files: [{file}] }} }}"
        url = f"http://127.0.0.1:{endpoint.server_port}/hooks"
        bridge(f"""\
  app: {{ webhook: {{ url: "{url}", {sign} }} }}
routes:
  - from: mq/{source}
    dead_letter: mq/{dead}
    to: {{ broker: app, path: "{{message_name}}", {form} }}
""")
        publish(source, ENVELOPE)
        return endpoint.next()

    return post


def by_node(secret, headers, body):
    modules = os.path.dirname(os.path.abspath(os.environ["RIALTO_TEST_NODE_MODULES"]))
    asked = json.dumps({"secret": secret, "headers": headers, "body": body.decode()})
    done = subprocess.run(["node", "-e", VERIFY, modules], input=asked, capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout.strip()


def test_both_packages_verify_each_secret_of_a_rotation(posted):
    path, headers, body = posted("envelope: standard_webhook", [OLD, NEW])
    assert path == "/hooks/UserJoined"
    assert headers["webhook-id"] == "9f62e977"
    for secret in (OLD, NEW):
        event = Webhook(secret).verify(body, headers)
        assert event == {"type": "UserJoined", "timestamp": event["timestamp"], "data": json.loads(PAYLOAD)}
        assert by_node(secret, headers, body) == "verified"
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers)
    assert by_node(OTHER, headers, body) != "verified"


def test_a_changed_body_is_verified_by_nobody(posted):
    _, headers, body = posted("envelope: payload", [OLD])
    assert body == PAYLOAD
    Webhook(OLD).verify(body, headers)
    changed = json.dumps(json.loads(body)).encode()
    assert changed != body
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(changed, headers)
    assert by_node(OLD, headers, changed) != "verified"


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_sdk_of_cloudevents_reads_every_mode(posted, mode):
    _, headers, body = posted(f"envelope: {{ cloudevents: {{ mode: {mode} }} }}", [OLD])
    Webhook(OLD).verify(body, headers)
    assert PAYLOAD in body
    check(binding.from_http(binding.HTTPMessage(headers, body), JSONFormat()))
