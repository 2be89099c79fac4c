"""Switchboard as the client: the scored `auth/*` scenarios of both revisions, and those of 2025-03-26."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness.product import OWNER, Switchboard
from signing_in import SCENARIOS
from suite import NEWEST, program, read

pytestmark = pytest.mark.timeout(600)
# The suite expects this address and never reads it.
METADATA_URL = "https://conformance-test.local/client-metadata.json"


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("client")
    switchboard = Switchboard(directory)
    switchboard.environment["SWITCHBOARD_UPSTREAM_CLIENT_METADATA_URL"] = METADATA_URL
    switchboard.start()
    path = directory / "settings.json"
    path.write_text(json.dumps({
        "url": switchboard.url, "token": switchboard.create_token(), "email": OWNER,
        "password": (directory / "owner-password").read_text(),
    }))
    yield path
    switchboard.stop()


@pytest.mark.parametrize(("scenario", "revision"), SCENARIOS, ids=lambda value: str(value or "extension"))
def test_switchboard_signs_in_as_the_specification_says(settings, tmp_path, scenario, revision):
    client = shlex.join([sys.executable, str(Path(__file__).with_name("client.py")), str(settings)])
    command = [*program(NEWEST), "client", "--command", client, "--scenario", scenario, "-o", str(tmp_path)]
    if revision:
        command += ["--spec-version", revision]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    results = read(tmp_path, "")
    assert results, f"nothing was measured: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    failed = [message for result in results.values() for message in result.messages]
    assert failed == [], f"{failed}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
