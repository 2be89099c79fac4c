#!/usr/bin/env bash
# Takes the pictures of the documentation of the real product: docs/guide/pictures/*.png.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d e2e/node_modules ] || bash tests/tools.sh e2e || exit 1
cargo build --locked --bin switchboard || exit 1
export SWITCHBOARD_BIN="${SWITCHBOARD_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/switchboard}"
node=$(ls "$PWD"/e2e/node_modules/node-linux-*/bin/node 2>/dev/null | head -n1)
cd e2e && "${node:-node}" node_modules/.bin/playwright test --config pictures.config.mjs
