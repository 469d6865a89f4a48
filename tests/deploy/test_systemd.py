"""The unit is read by systemd itself, is well locked up, and what it starts tells systemd what it should."""

import configparser
import os
import re
import shutil
import signal
import socket

import pytest
from deploy.mounted import SECONDS, free_port, running, terminate, without_network

HERE = "deploy/systemd"
EXPOSURE_MAX = 15  # tenths, of systemd's own scale from 0 (locked up) to 10 (exposed)


@pytest.fixture
def unit(root, binary, tmp_path):
    """The unit and its drop-in, with the binary under test in the place of the installed one."""
    shutil.copytree(root / HERE, tmp_path / "units")
    file = tmp_path / "units" / "rialto.service"
    file.write_text(file.read_text().replace("/usr/local/bin/rialto", binary))
    return file


def setting(unit, key):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(unit)
    return parser["Service"][key]


def verify(tool, unit):
    return tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)


def test_systemd_accepts_the_unit(tool, unit):
    assert verify(tool, unit) == (0, "")


def test_little_is_exposed(tool, unit):
    code, said = tool("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", unit)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("rialto.service", "NoNewPrivileges=yes", "NoNewPrivilege=yes"),
        ("rialto.service", "Type=notify", "Type=notified"),
        ("rialto.service", "run --config", '"run --config'),
        ("rialto.service.d/credentials.conf", "LoadCredential=redis:", "LoadCredentials=redis:"),
    ],
)
def test_a_spoiled_unit_is_refused(tool, unit, file, before, after):
    spoiled = unit.parent / file
    assert before in spoiled.read_text()
    spoiled.write_text(spoiled.read_text().replace(before, after))
    _, said = verify(tool, unit)
    assert said != ""


def test_an_exposed_unit_is_refused(tool, unit):
    unit.write_text(re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall|CapabilityBounding|NoNew)\w*=.*\n", "", unit.read_text()))
    code, _ = tool("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", unit)
    assert code != 0


@pytest.fixture
def credentials(unit, tmp_path):
    """The secrets of the drop-in, as systemd shows them."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    for name in re.findall(r"(?m)^LoadCredential=(\w+):", (unit.parent / "rialto.service.d" / "credentials.conf").read_text()):
        (directory / name).write_text("a secret\n")
    return {"CREDENTIALS_DIRECTORY": str(directory)}


def test_check_accepts_the_configuration_with_its_credentials(root, binary, tool, credentials):
    code, said = tool(binary, "check", "--config", root / HERE / "rialto.yaml", env=os.environ | credentials)
    assert (code, "warning" in said) == (0, False), said


def test_it_says_when_it_is_ready_reloading_and_stopping(unit, binary, credentials, tmp_path):
    """As `Type=notify` and `Type=notify-reload` want it: sd_notify(3)."""
    configuration = tmp_path / "rialto.yaml"
    configuration.write_text(without_network((unit.parent / "rialto.yaml").read_text()))
    command = setting(unit, "ExecStart").replace("/etc/rialto", str(configuration)).split()
    assert command[0] == binary
    assert "HUP" in setting(unit, "ExecReload")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SECONDS)
        environment = credentials | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        command += ["--set", f"telemetry.listen=127.0.0.1:{free_port()}"]
        with running(command, tmp_path / "log", environment) as process:
            assert systemd.recv(4096).decode().split() == ["READY=1"]
            process.send_signal(signal.SIGHUP)
            reloading = systemd.recv(4096).decode().split()
            assert reloading[0] == "RELOADING=1" and re.fullmatch(r"MONOTONIC_USEC=\d+", reloading[1])
            assert systemd.recv(4096).decode().split() == ["READY=1"]
            assert terminate(process, int(setting(unit, "TimeoutStopSec").rstrip("s"))) == 0
            assert systemd.recv(4096).decode().split() == ["STOPPING=1"]
