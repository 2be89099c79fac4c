#!/usr/bin/env bash
# A person's way, in a real browser.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --bin switchboard || exit 1
export SWITCHBOARD_BIN="${SWITCHBOARD_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/switchboard}"
node=$(ls "$PWD"/e2e/node_modules/node-linux-*/bin/node 2>/dev/null | head -n1)
cd e2e && "${node:-node}" node_modules/.bin/playwright test
