"""A container's view of its files, laid out as the kubelet does it, and Rialto running on them."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

SECONDS = 20  # how long a start may take on a busy machine
NOWHERE = "127.0.0.1:1"  # nobody listens there: a broker that is away


def lay(directory, files):
    """Files as a ConfigMap's or a Secret's volume shows them: links through `..data`."""
    directory.mkdir(parents=True)
    swap(directory, files)
    for name in files:
        (directory / name).symlink_to(f"..data/{name}")


def swap(directory, files):
    """Other content for the same files, in one step, as the kubelet does it: `..data` is a link to another directory from now on."""
    version = pathlib.Path(tempfile.mkdtemp(prefix="..2026_01_01_00_00_00.", dir=directory))
    for name, text in files.items():
        (version / name).write_text(text)
    (directory / "..data_tmp").symlink_to(version.name)
    (directory / "..data_tmp").rename(directory / "..data")


def without_network(text):
    """The same configuration with every broker away, so that a test asks no name server and no other machine."""
    text = re.sub(r"(?<=://)(?:[^@/\s\"]+@)?[\w.-]+(?::\d+)?(?=[\s\"/]|$)", NOWHERE, text, flags=re.M)
    text = re.sub(r"Endpoint=sb://[^;]+", f"Endpoint=sb://{NOWHERE}", text)
    return re.sub(r"(bootstrap_servers: )\[[^\]]*\]", rf'\1["{NOWHERE}"]', text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, log, environment=None):
    """The process, killed at the end whatever happened."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | (environment or {}))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(url, process, log, text=""):
    """Until the page answers 200, with this text in it."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:
                said = answer.read().decode()
            if text in said:
                return
        except urllib.error.HTTPError as error:
            said = error.code
        except OSError as error:
            said = error
        assert process.poll() is None, f"exited with {process.returncode}:\n{log.read_text()}"
        assert time.monotonic() < end, f"{url}: {said}\n{log.read_text()}"
        time.sleep(0.02)


def terminate(process, seconds):
    """SIGTERM, as every supervisor sends it; answers the exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(seconds)
