#!/usr/bin/env bash
# The official conformance suite: directly against a server with all its fixtures, then through Switchboard, then with Switchboard as
# the client; and every feature between clients and servers of both generations. Prints the tables; with UPDATE=1 it also writes
# docs/reference/conformance.md.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --bin switchboard --bin conformance-upstream || exit 1
status=0
.cache/venv/bin/python -m pytest tests/conformance -s --reruns 0 || status=1
.cache/venv/bin/python -m pytest tests/matrix -s --reruns 0 || status=1
exit "$status"
