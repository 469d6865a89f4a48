"""The bridge under test, seen from outside: a process, its two signals and its probes."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from .servers import free_port


class BridgeError(Exception):
    """The bridge did not do what every run needs of it."""


class Bridge:
    """Starts `rialto run` on one configuration, again and again."""

    def __init__(self, directory, configuration, environment=None):
        self.binary = os.path.abspath(os.environ["RIALTO_TEST_BINARY"])
        self.port = free_port()
        self.file = directory / "rialto.yaml"
        self.log = directory / "rialto.log"
        telemetry = f"telemetry: {{ listen: 127.0.0.1:{self.port} }}\nhealth: {{ readiness: connected }}\n"
        self.file.write_text(configuration + telemetry)
        self.environment = os.environ | (environment or {})
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "run", "-c", self.file], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while self.get("/readyz")[0] != 200:
            if self.process.poll() is not None:
                raise BridgeError(f"exited with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > end:
                raise BridgeError(f"not ready after {seconds} s:\n{self.tail()}")
            time.sleep(0.01)

    def get(self, path):
        """(status, body); status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def kill(self):
        """SIGKILL. A bridge that had already gone by itself is a fault of its own."""
        if self.process.poll() is not None:
            raise BridgeError(f"exited with {self.process.returncode} before the kill:\n{self.tail()}")
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds=30):
        """SIGTERM; the exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise BridgeError(f"still running {seconds} s after SIGTERM:\n{self.tail()}") from None
        if code != 0:
            raise BridgeError(f"exited with {code} after SIGTERM:\n{self.tail()}")

    def stop(self):
        """Cleans up, whatever the state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
