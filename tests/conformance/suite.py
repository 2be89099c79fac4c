"""Runs the official suite and reads what it found."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.process import NODE_MODULES, node

PASSED = {"SUCCESS", "INFO", "SKIPPED"}


@dataclass(frozen=True)
class Run:
    """One set of scenarios of one version of the suite."""

    title: str
    package: str
    arguments: tuple[str, ...]


NEWEST, STABLE = "conformance", "conformance-stable"

SERVER_RUNS = (
    Run("2025-11-25", NEWEST, ("--requirements", "2025-11-25")),
    Run("2026-07-28", NEWEST, ("--requirements", "2026-07-28")),
    Run("all scenarios of the newest stable release", STABLE, ("--suite", "all")),
)


def version(package: str) -> str:
    return json.loads((NODE_MODULES / package / "package.json").read_text())["version"]


@dataclass(frozen=True)
class Scenario:
    passed: int
    failed: int
    messages: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.failed == 0

    def __str__(self):
        return "passes" if self.ok else f"fails {self.failed} of {self.passed + self.failed}"


def program(package: str) -> list[str]:
    return [node(), str(NODE_MODULES / package / "dist" / "index.js")]


def run_server(run: Run, url: str, directory: Path) -> dict[str, Scenario]:
    command = [*program(run.package), "server", "--url", url, *run.arguments, "-o", str(directory)]
    subprocess.run(command, capture_output=True, text=True, timeout=900)
    return read(directory, "server-")


# Scenarios with Switchboard as the client, but for those of signing in.
CLIENT_SCENARIOS = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"),
    "2026-07-28": (
        "tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
        "http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
    ),
}


def run_client(revision: str, scenario: str, directory: Path) -> Scenario:
    script = Path(__file__).with_name("client_under_test.py")
    command = [
        *program(NEWEST), "client", "--command", f"{sys.executable} {script}", "--scenario", scenario,
        "--spec-version", revision, "--timeout", "90000", "-o", str(directory),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = read(directory, "").values()
    return next(iter(found), Scenario(0, 1, (f"{done.stdout[-300:]} {done.stderr[-300:]}",)))


def read(directory: Path, prefix: str) -> dict[str, Scenario]:
    """Each scenario left a directory `server-NAME-TIMESTAMP` with its checks."""
    found = {}
    for checks in sorted(directory.glob(f"{prefix}*/**/checks.json"), key=lambda path: path.stat().st_mtime_ns):
        folder = str(checks.parent.relative_to(directory)).removeprefix(prefix)
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", folder)
        results = json.loads(checks.read_text())
        failed = [check for check in results if check["status"] == "FAILURE"]
        messages = tuple(f"{check['id']}: {check.get('errorMessage', '')}" for check in failed)
        found[name] = Scenario(sum(check["status"] == "SUCCESS" for check in results), len(failed), messages)
    return found
