"""The stand-in for Azure Service Bus, through its control face: tests/service_bus/control.mjs lists what it can be asked."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request


class StandInError(Exception):
    """The stand-in refused what it was asked."""


class StandIn:
    def __init__(self, control):
        self.control = control
        self.info = self.ask("GET", "/")

    @classmethod
    def shared(cls):
        return cls(os.environ["RIALTO_TEST_SERVICE_BUS"])

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise StandInError(f"{method} {path}: {json.load(error)['error']}") from None

    def entity(self, method, name, verb="", body=None):
        return self.ask(method, f"/entities/{urllib.parse.quote(name, safe='')}{verb}", body)

    def create(self, name, **settings):
        self.entity("PUT", name, body=settings)

    def delete(self, name):
        self.entity("DELETE", name)

    def counts(self, name):
        return self.entity("GET", name)

    def messages(self, name):
        """What is in a queue, in order, taking nothing."""
        return self.entity("GET", name, "/messages")

    def fault(self, kind, **more):
        self.ask("POST", "/faults", {"kind": kind} | more)

    def signature(self, uri, key=None, seconds=3600):
        """A shared access signature, made here from its published definition."""
        resource, expiry = urllib.parse.quote_plus(uri), int(time.time() + seconds)
        digest = hmac.new((key or self.key).encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
        signed = urllib.parse.quote_plus(base64.b64encode(digest))
        return f"SharedAccessSignature sr={resource}&sig={signed}&se={expiry}&skn={self.policy}"

    def broker(self, transport=None):
        """How a bridge's configuration names it."""
        settings = {
            "namespace": "stand-in",
            "policy": self.policy,
            "key": self.key,
            "endpoint": self.info["http"],
            "amqp_endpoint": self.info["amqp"],
        }
        return json.dumps({"service_bus": settings | ({"transport": transport} if transport else {})})

    @property
    def connection_string(self):
        return self.info["connection_string"]

    @property
    def policy(self):
        return self.info["policies"][0]["name"]

    @property
    def key(self):
        return self.info["policies"][0]["key"]
