#!/usr/bin/env bash
# Other proxies beside Switchboard, on loopback, in front of the bench's own upstream.
#
#   bench/peers.sh install                what the peers need, into .cache/peers
#   bench/peers.sh run [ARGUMENT…]        start upstream and peers, run `switchboard-bench calls ARGUMENT…`, stop them
#
# Peers: the crate mcp-proxy (Rust, tower-mcp) and FastMCP's proxy (Python). Versions are pinned: a report names them.
# Everything listens on 127.0.0.1, ports 9601 to 9603, and ends with this script.
set -euo pipefail

MCP_PROXY_VERSION=0.6.0
FASTMCP_VERSION=4.1.2

top=$(cd "$(dirname "$0")/.." && pwd)
peers=$top/.cache/peers
bench=${SWITCHBOARD_BENCH:-$top/target/release/switchboard-bench}
started=()

stop() {
  for process in "${started[@]}"; do
    kill "$process" 2>/dev/null || true
  done
  wait 2>/dev/null || true
}

install_peers() {
  mkdir -p "$peers"
  [ -x "$peers/bin/mcp-proxy" ] || CARGO_TARGET_DIR=$peers/target \
    cargo install mcp-proxy --version "$MCP_PROXY_VERSION" --locked --root "$peers"
  [ -x "$peers/python/bin/fastmcp" ] || {
    python3 -m venv "$peers/python"
    "$peers/python/bin/pip" install --quiet "fastmcp==$FASTMCP_VERSION"
  }
}

# One backend for calls; the five parts of the list for `--list`.
configure() {
  local slugs=(bench) paths=(mcp) index
  if [ "$1" = list ]; then
    slugs=(s1 s2 s3 s4 s5) paths=(s1 s2 s3 s4 s5)
  fi
  {
    printf '[proxy]\nname = "peer"\nseparator = "/"\n[proxy.listen]\nhost = "127.0.0.1"\nport = 9602\n'
    for index in "${!slugs[@]}"; do
      printf '[[backends]]\nname = "%s"\ntransport = "http"\nurl = "http://127.0.0.1:9601/%s"\n' \
        "${slugs[$index]}" "${paths[$index]}"
    done
  } >"$peers/mcp-proxy.toml"
  {
    printf '{"mcpServers": {'
    for index in "${!slugs[@]}"; do
      [ "$index" = 0 ] || printf ', '
      printf '"%s": {"url": "http://127.0.0.1:9601/%s", "transport": "http"}' "${slugs[$index]}" "${paths[$index]}"
    done
    printf '}}\n'
  } >"$peers/mcp.json"
}

wait_for() {
  for _ in $(seq 100); do
    if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
    sleep 0.2
  done
  echo "nothing listens on port $1 after 20 s; see $peers/*.log" >&2
  exit 1
}

run() {
  local mode=calls argument
  for argument in "$@"; do
    if [ "$argument" = --list ]; then mode=list; fi
  done
  [ -x "$bench" ] || { echo "there is no $bench: cargo build --release first, or set SWITCHBOARD_BENCH" >&2; exit 1; }
  install_peers
  configure "$mode"
  trap stop EXIT
  "$bench" upstream --listen 127.0.0.1:9601 >"$peers/upstream.log" 2>&1 & started+=($!)
  wait_for 9601
  "$peers/bin/mcp-proxy" --config "$peers/mcp-proxy.toml" >"$peers/mcp-proxy.log" 2>&1 & started+=($!)
  "$peers/python/bin/fastmcp" run "$peers/mcp.json" --transport http --port 9603 --stateless --no-banner \
    --log-level ERROR >"$peers/fastmcp.log" 2>&1 & started+=($!)
  wait_for 9602
  wait_for 9603
  "$bench" calls --upstream http://127.0.0.1:9601 \
    --peer mcp-proxy=http://127.0.0.1:9602/ --peer fastmcp=http://127.0.0.1:9603/mcp "$@"
}

case "${1:-}" in
  install) install_peers ;;
  run) shift; run "$@" ;;
  *) echo "usage: bench/peers.sh install | run [ARGUMENT…]" >&2; exit 2 ;;
esac
