"""The stand-in for Azure Service Bus, through its control face: tests/service_bus/control.mjs lists what it can be asked."""

import json
import os
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

    @property
    def connection_string(self):
        return self.info["connection_string"]

    @property
    def policy(self):
        return self.info["policies"][0]["name"]

    @property
    def key(self):
        return self.info["policies"][0]["key"]
