#!/usr/bin/env bash
# The security vectors that come from outside, as bytes on a socket, against a running Switchboard.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --bin switchboard || exit 1
.cache/venv/bin/python -m pytest tests/vectors
