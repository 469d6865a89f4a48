"""The repository, the tools of the virtual environment, and the binary under test."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = pathlib.Path(sys.executable).parent


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def binary():
    return os.path.abspath(os.environ["RIALTO_TEST_BINARY"])


@pytest.fixture(scope="session")
def tool():
    """Runs a tool that came with requirements.txt, or the system's; answers (exit code, everything it said)."""

    def run(name, *arguments, **options):
        own = TOOLS / name
        command = [own if own.exists() else name, *arguments]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False, **options
        )
        return done.returncode, done.stdout

    return run
