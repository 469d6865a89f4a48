"""The producer into a queue of the stand-in for Service Bus: numbered records per key, by batches to its REST face.

A 201 confirms all records of its request.
"""

import http.client
import itertools
import json
import urllib.parse

from . import producing, record
from .service_bus import StandIn

BATCH = 150
BATCH_BYTES_MAX = 250_000


class Producer(producing.PacedProducer):
    """One connection, and one request after the other: an outcome is in when its request returns."""

    def __init__(self, options):
        super().__init__(options)
        self.stand_in = StandIn(options.control)
        self.headers = {
            "Authorization": self.stand_in.signature(f"https://stand-in/{options.queue}", seconds=86_400),
            "Content-Type": "application/vnd.microsoft.servicebus.json",
        }
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.stand_in.info["http"]).netloc, timeout=30)

    def pump(self):
        """Sends what the backlog leaves room for, so that it stays bounded while the bridge is down."""
        room = self.options.backlog_max - self.stand_in.counts(self.options.queue)["active"]
        while room >= BATCH // 2:
            room -= self.send(list(itertools.islice(self.places, min(room, BATCH))))

    def send(self, places):
        self.log.attempted(places)
        requests, size = [[]], 0
        for key, seq in places:
            body = record.body(self.options.run, key, seq).decode()
            broker = {"MessageId": record.message_id(self.options.run, key, seq), "ContentType": "application/json"}
            message = ((key, seq), {"Body": body, "BrokerProperties": broker})
            # A quote in the body takes two bytes, what is not ASCII six.
            size += len(json.dumps(message[1])) + 2
            if size > BATCH_BYTES_MAX:
                requests.append([])
                size = len(json.dumps(message[1])) + 2
            requests[-1].append(message)
        for request in requests:
            confirmed = self.post(json.dumps([message for _, message in request]))
            for place, _ in request:
                self.log.outcome(place, confirmed=confirmed)
        return len(places)

    def post(self, body):
        try:
            self.connection.request("POST", f"/{self.options.queue}/messages", body.encode(), self.headers)
            answer = self.connection.getresponse()
            said = answer.read()
        except OSError:
            self.connection.close()
            return False
        if answer.status != 201:
            raise RuntimeError(f"{answer.status}: {said.decode()}")
        return True


if __name__ == "__main__":
    Producer(producing.options("control", "queue")).run()
