#!/usr/bin/env bash
# Installs what the given stages need and is not there yet: Debian packages, a Python venv, the
# npm packages of e2e/ (a Node 22 among them) and cargo-deny. All but the Debian packages go under
# .cache/ and e2e/node_modules, which git ignores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=" $* "
needs() { local stage; for stage in "$@"; do case $wanted in *" $stage "*) return 0 ;; esac; done; return 1; }
stop() { printf '%s\n' "$@" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Something is installed once for one content of the file that pins it.
stamp_of() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }
is_current() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

debian_packages() {
  local missing=()
  has cc || missing+=(gcc libc6-dev)
  has git || missing+=(git)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  if needs rust peers vectors conformance e2e; then
    has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  fi
  if needs rust; then
    has strace || missing+=(strace)
  fi
  if needs peers conformance e2e; then
    has npm || missing+=(nodejs npm)
  fi
  if needs e2e; then
    has chromium || missing+=(chromium)
  fi
  [ ${#missing[@]} -gt 0 ] || { echo "Debian packages: all there"; return 0; }
  has apt-get || stop "These are missing: ${missing[*]}." \
    "They are installed with apt-get, which this system does not have: install them its own way and run ./test again."
  [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || stop "These Debian packages are missing: ${missing[*]}." \
    "Run: sudo apt-get install ${missing[*]}"
  echo "Debian packages: installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

python_packages() {
  local stamp
  stamp=$(stamp_of tests/requirements.txt)
  is_current .cache/venv/.stamp "$stamp" && { echo "Python packages: all there"; return 0; }
  echo "Python packages: installing tests/requirements.txt"
  rm -rf .cache/venv
  python3 -m venv .cache/venv
  .cache/venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r tests/requirements.txt
  echo "$stamp" >.cache/venv/.stamp
}

npm_packages() {
  local stamp
  stamp=$(stamp_of e2e/package.json e2e/package-lock.json)
  is_current e2e/node_modules/.stamp "$stamp" && { echo "npm packages: all there"; return 0; }
  echo "npm packages: installing e2e/package-lock.json"
  # No package's install script runs: browsers come from Debian, everything else is plain JavaScript.
  (cd e2e && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  echo "$stamp" >e2e/node_modules/.stamp
}

cargo_deny() {
  local version=0.20.2
  [ "$(.cache/cargo-deny/bin/cargo-deny --version 2>/dev/null)" != "cargo-deny $version" ] || { echo "cargo-deny: there"; return 0; }
  echo "cargo-deny: building version $version (about three minutes on two cores, once)"
  CARGO_TARGET_DIR=.cache/cargo-deny/target cargo install --quiet --locked --version "$version" --root .cache/cargo-deny cargo-deny
  rm -rf .cache/cargo-deny/target
}

mkdir -p .cache
has cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
has cargo || stop "cargo was not found. Install Rust (https://rustup.rs) and run ./test again."
debian_packages
python_packages
if needs peers conformance e2e; then npm_packages; fi
if needs lint; then cargo_deny; fi
