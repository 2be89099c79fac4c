"""The dependency rule of docs/ARCHITECTURE.md, read from Cargo rather than from good intentions.

    domain <- policy, catalog, vault <- storage
    domain <- egress <- mcp
    all of these <- broker <- server <- cli        testkit is a dev-dependency only
"""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "switchboard-"

# What each crate may use of this workspace. A crate that is not listed fails the test.
MAY_USE = {
    "domain": set(),
    "policy": {"domain"},
    "catalog": {"domain"},
    "vault": {"domain"},
    "storage": {"domain", "policy", "catalog", "vault"},
    "egress": {"domain"},
    "mcp": {"domain", "egress"},
    "oauth": {"domain", "egress"},
    "broker": {"domain", "policy", "catalog", "vault", "storage", "egress", "mcp", "oauth"},
    "server": {"domain", "policy", "catalog", "egress", "mcp", "oauth", "broker"},
    "cli": {"domain", "policy", "catalog", "vault", "storage", "egress", "mcp", "oauth", "broker", "server"},
    "bench": {"domain", "policy", "catalog", "vault", "storage", "egress", "mcp", "broker", "server"},
    "fuzz": {"domain", "egress", "mcp", "oauth"},
    "testkit": {"domain", "policy", "catalog", "vault", "storage", "egress", "mcp", "oauth", "broker", "server"},
}

# Libraries that only the crates beside them may name.
ONLY_IN = {
    "sqlx": {"storage", "testkit"},
    "rusqlite": {"storage"},
    "chacha20poly1305": {"vault"},
    "hickory-resolver": {"egress"},
    "tokio-rustls": {"egress", "testkit", "server"},
    "hyper-util": {"egress", "server", "testkit", "bench", "cli"},
}
PURE = {"domain", "policy", "catalog"}
ASYNC_OR_IO = {"tokio", "tokio-util", "futures-util", "hyper", "hyper-util", "axum", "sqlx", "rusqlite", "rustls", "tower"}


def crates():
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
    )
    return {folder(package): package["dependencies"] for package in metadata["packages"]}


def folder(package):
    return Path(package["manifest_path"]).parent.name


CRATES = crates()


@pytest.mark.parametrize("crate", sorted(CRATES))
def test_a_crate_uses_only_what_lies_below_it(crate):
    assert crate in MAY_USE, f"{crate} is new: say in MAY_USE what it may use, and in docs/ARCHITECTURE.md why it exists"
    used = {
        dependency["name"].removeprefix(PREFIX)
        for dependency in CRATES[crate]
        if dependency["name"].startswith(PREFIX) and dependency["kind"] != "dev"
    }
    assert used <= MAY_USE[crate]


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_with_power_stays_in_its_crate(library):
    users = {
        crate
        for crate, dependencies in CRATES.items()
        if any(d["name"] == library and d["kind"] != "dev" for d in dependencies)
    }
    assert users <= ONLY_IN[library]


@pytest.mark.parametrize("crate", sorted(PURE))
def test_pure_crates_have_no_async_and_no_io(crate):
    used = {d["name"] for d in CRATES[crate] if d["kind"] != "dev"}
    assert not used & ASYNC_OR_IO
