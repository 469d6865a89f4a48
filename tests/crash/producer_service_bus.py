"""The producer into a queue of the stand-in for Service Bus: numbered records per key, by batches to its REST face; a process of
its own.

It keeps the same log as the producer into RabbitMQ, with the same meaning: `a KEY SEQ` is on disk before the request, `c KEY SEQ`
follows a 201, `u KEY SEQ` says that the outcome is unknown. An unknown record is never sent again, so every copy that arrives
twice is the bridge's.

It is told `pause`, `resume` and `stop` on its standard input and answers each on its standard output.
"""

import argparse
import http.client
import itertools
import json
import os
import queue
import sys
import threading
import time
import urllib.parse

from . import record
from .service_bus import StandIn

BATCH = 150
BATCH_BYTES_MAX = 250_000


class Producer:
    def __init__(self, options):
        self.options = options
        self.log = open(options.log, "a", encoding="ascii")
        keys = [f"k{number:02}" for number in range(options.keys)]
        self.places = ((key, seq) for seq in itertools.count(1) for key in keys)
        self.stand_in = StandIn(options.control)
        self.headers = {
            "Authorization": self.stand_in.signature(f"https://stand-in/{options.queue}", seconds=86_400),
            "Content-Type": "application/vnd.microsoft.servicebus.json",
        }
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.stand_in.info["http"]).netloc, timeout=30)
        self.commands = queue.SimpleQueue()  # from the thread that listens
        self.paused = False

    def run(self):
        threading.Thread(target=self.listen, daemon=True).start()
        stopped = False
        while not stopped:
            while not self.commands.empty():
                command = self.commands.get()
                self.paused = command != "resume"
                self.say({"pause": "paused", "resume": "resumed", "stop": "stopped"}[command])
                stopped = stopped or command == "stop"
            if not self.paused:
                self.pump()
            time.sleep(0.02)

    def listen(self):
        """Commands arrive on a thread of their own."""
        for line in sys.stdin:
            self.commands.put(line.strip())

    def say(self, answer):
        self.flush()
        print(answer, flush=True)

    def pump(self):
        """Sends what the backlog leaves room for, so that it stays bounded while the bridge is down."""
        room = self.options.backlog_max - self.stand_in.counts(self.options.queue)["active"]
        while room >= BATCH // 2:
            room -= self.send(list(itertools.islice(self.places, min(room, BATCH))))

    def send(self, places):
        self.log.writelines(f"a {key} {seq}\n" for key, seq in places)
        self.flush()
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
            outcome = "c" if self.post(json.dumps([message for _, message in request])) else "u"
            self.log.writelines(f"{outcome} {key} {seq}\n" for (key, seq), _ in request)
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

    def flush(self):
        self.log.flush()
        os.fsync(self.log.fileno())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--backlog-max", type=int, default=8000)
    Producer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
