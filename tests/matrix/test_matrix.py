"""Every feature, from clients of both generations to servers of both, over every transport, with the official SDKs."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from harness.process import ROOT, node

FEATURES = ["tools", "resources", "prompts", "progress", "cancellation", "elicitation", "sampling", "list_changed"]
PYTHON = [sys.executable, str(Path(__file__).with_name("whole_client.py"))]
TYPESCRIPT = [node(), str(ROOT / "e2e" / "clients" / "every-feature.mjs")]
CLIENTS = {
    "Python, old": (PYTHON, {"mode": "legacy"}),
    "Python, new": (PYTHON, {"mode": "2026-07-28"}),
    "TypeScript, old": (TYPESCRIPT, {"sdk": "sdk", "mode": "legacy"}),
    "TypeScript, new": (TYPESCRIPT, {"sdk": "client", "mode": "2026-07-28"}),
}
UPSTREAMS = ["old", "new", "sse", "stdio"]
# (client, upstream, feature): why it does not work.
EXCEPTIONS: dict[tuple[str, str, str], str] = {}

pytestmark = pytest.mark.timeout(1200)


def drive(client: str, endpoint, headers: dict[str, str]) -> dict[str, str]:
    command, choice = CLIENTS[client]
    job = asdict(endpoint) | {"headers": headers, "features": FEATURES} | choice
    done = subprocess.run([*command, json.dumps(job)], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def measured(matrix):
    endpoints, headers = matrix
    seen = {(client, upstream): drive(client, endpoints[upstream], headers) for client in CLIENTS for upstream in UPSTREAMS}
    print("\n" + table(seen))
    return seen


def table(seen) -> str:
    lines = ["| client | server | " + " | ".join(FEATURES) + " |", "|---|---|" + "---|" * len(FEATURES)]
    for (client, upstream), row in seen.items():
        cells = ["works" if row[feature] == "ok" else "FAILS" for feature in FEATURES]
        lines.append(f"| {client} | {upstream} | " + " | ".join(cells) + " |")
    lines += [f"{cell}, {feature}: {said}" for cell, row in seen.items() for feature, said in row.items() if said != "ok"]
    return "\n".join(lines)


def test_every_feature_works_between_all_of_them(measured):
    failing = {(*cell, feature) for cell, row in measured.items() for feature, said in row.items() if said != "ok"}
    # An exception that works by now has to be taken out of the list.
    assert failing == set(EXCEPTIONS)
