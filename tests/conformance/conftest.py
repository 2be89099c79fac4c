"""The conformance upstream, alone and behind Switchboard with its own names."""

import os
from pathlib import Path

import pytest
from harness.process import ROOT, Process, free_port, node
from harness.product import Switchboard


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@pytest.fixture(scope="session")
def upstream(tmp_path_factory):
    log = tmp_path_factory.mktemp("upstream") / "upstream.log"
    process = Process([str(target() / "conformance-upstream")], log)
    # Its first line is its URL.
    process.wait_until(lambda: "\n" in log.read_text(), "listening")
    yield log.read_text().splitlines()[0]
    process.stop()


@pytest.fixture(scope="session")
def through(upstream, tmp_path_factory):
    """The same server's names and URIs on the endpoint of its connection; the suite can't send a token, a front does."""
    directory = tmp_path_factory.mktemp("switchboard")
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    switchboard = Switchboard(directory, options=["--public-url", origin]).start()
    try:
        switchboard.connect("conformance", upstream, expose_directly=True)
        command = [node(), str(ROOT / "e2e" / "bearer-front.mjs"), str(port), switchboard.url]
        front = Process(command, directory / "front.log", env=os.environ | {"TOKEN": switchboard.token})
        front.wait_for_port(port)
        try:
            yield f"{origin}/mcp/connections/conformance"
        finally:
            front.stop()
    finally:
        switchboard.stop()
