#!/usr/bin/env bash
# Real MCP servers and real MCP clients, first with each other, then through Switchboard.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --bin switchboard || exit 1
.cache/venv/bin/python -m pytest tests/peers
