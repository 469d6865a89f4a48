"""Real Chromium: the page at `/`, and an EventSource that loses its connection."""

import json
import os
import pathlib
import socket
import threading
import time

import pytest

from .conftest import SECONDS


class Wire:
    """A TCP relay that can be cut, as a train in a tunnel cuts it."""

    def __init__(self, port):
        self.to = port
        self.open = threading.Event()
        self.open.set()
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.open.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.pairs.append((near, far))
            for source, sink in [(near, far), (far, near)]:
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.open.clear()
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def mend(self):
        self.open.set()


def said(process):
    line = process.stdout.readline()
    assert line, process.log.read_text()
    return json.loads(line)


def ends(process):
    process.wait(SECONDS)
    assert process.returncode == 0, process.log.read_text()


def test_the_page_hears_sends_finds_and_shows_markup_as_text(doors, node, tmp_path):
    shots = pathlib.Path(os.environ.get("RIALTO_TEST_SCREENSHOTS", tmp_path))
    page = node("page.cjs", doors().url, str(shots))
    assert said(page) == "live"
    assert said(page).startswith("200")
    assert said(page) == "done"
    ends(page)
    assert (shots / "page-dark.png").stat().st_size > 10_000


def test_the_page_that_was_cut_off_comes_back_to_where_it_was(doors, node):
    bridge = doors()
    wire = Wire(bridge.port)
    page = node("comeback.cjs", f"http://127.0.0.1:{wire.port}")
    assert said(page) == "live"
    bridge.post("Before", b"{}")
    assert said(page) == "Before"
    wire.cut()
    assert said(page) == "lost"
    bridge.post("Meanwhile", b"{}")
    wire.mend()
    assert said(page) == "Meanwhile"
    # Another life of the hub: what it had is gone, and the page says so.
    bridge.bridge.terminate()
    bridge.bridge.start()
    bridge.bridge.wait_ready()
    assert said(page) == "gap"
    ends(page)


def test_an_event_source_that_was_cut_off_comes_back_to_where_it_was(doors, node):
    bridge = doors()
    wire = Wire(bridge.port)
    browser = node("eventsource.cjs", f"http://127.0.0.1:{wire.port}")
    assert said(browser) == {"open": True}
    bridge.post("News", b'{"n":1}')
    first = said(browser)
    assert first["payload"] == {"n": 1}
    wire.cut()
    assert said(browser) == {"lost": 0}  # CONNECTING: it will try again by itself.
    for number in (2, 3):
        bridge.post("News", b'{"n":%d}' % number)
    time.sleep(0.5)
    wire.mend()
    later = []
    while len(later) < 2:
        line = said(browser)
        if "payload" in line:
            later.append(line)
        else:
            assert line in ({"lost": 0}, {"open": True}), line
    assert [line["payload"]["n"] for line in later] == [2, 3]
    epoch, number = first["id"].split("-")
    assert [line["id"] for line in later] == [f"{epoch}-{int(number) + 1}", f"{epoch}-{int(number) + 2}"]
    bridge.post("News", b'{"last":true}')
    assert said(browser)["payload"] == {"last": True}
    ends(browser)
