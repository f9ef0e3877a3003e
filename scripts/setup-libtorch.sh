#!/usr/bin/env bash
# Makes libtorch available to this checkout: `.libtorch` becomes a link to a copy of it.
#
#   $LIBTORCH         a copy of your own: checked, and linked to
#   $QTRAIL_CUDA      1 or 0: with or without CUDA, whatever this machine has
#   $XDG_CACHE_HOME   where copies are kept (default ~/.cache)
#
# Nothing is installed outside the cache, no root is needed. Run again at any time: an interrupted
# set-up starts over, two at once wait for each other, and when nothing is to do it takes no time.
set -euo pipefail

version=2.11.0
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$scripts")
link=$checkout/.libtorch

say() { echo "libtorch: $*"; }
fail() { echo "libtorch: $*" >&2; exit 1; }

# What cargo needs to build against a copy.
is_whole() {
  [[ -e $1/lib/libtorch_cpu.so || -e $1/lib/libtorch.so ]] &&
    [[ -e $1/include/torch/csrc/api/include/torch/torch.h ]]
}

version_of() {
  if [[ -e $1/build-version ]]; then
    cat "$1/build-version"
  elif [[ -e $1/version.py ]]; then # a PyTorch package
    sed -n "s/^__version__ = '\(.*\)'/\1/p" "$1/version.py"
  else
    echo "$version" # unknown: the build will tell
  fi
}

has_gpu() {
  case ${QTRAIL_CUDA-} in
    1) return 0 ;;
    0) return 1 ;;
    '') ;;
    *) fail "QTRAIL_CUDA is 0 or 1, not '$QTRAIL_CUDA'" ;;
  esac
  # Under Windows' Linux the driver shows as /dev/dxg instead.
  [[ -e /proc/driver/nvidia/version ]] ||
    { [[ -e /dev/dxg ]] && command -v nvidia-smi >/dev/null; }
}

link_to() {
  [[ -L $link || ! -e $link ]] || fail "$link is in the way: it is not a link; move it away"
  if [[ $(readlink "$link" || true) == "$1" ]]; then
    say "ready ($1)"
    return
  fi
  # A link made aside and renamed: a build at the same time never finds none.
  ln -sfn "$1" "$link.$$" && mv -fT "$link.$$" "$link"
  say "ready: .libtorch -> $1"
}

# Inside cargo, $LIBTORCH is our own link.
if [[ -n ${LIBTORCH-} && $LIBTORCH != "$link" ]]; then
  is_whole "$LIBTORCH" || fail "\$LIBTORCH ($LIBTORCH) has no lib/libtorch_cpu.so or lib/libtorch.so," \
    "or no headers in include/; unset it, and libtorch is fetched"
  found=$(version_of "$LIBTORCH")
  [[ ${found%%+*} == "$version" ]] ||
    fail "\$LIBTORCH ($LIBTORCH) is libtorch $found; $version is needed; unset it, and that is fetched"
  link_to "$(cd "$LIBTORCH" && pwd)"
  exit
fi

cache=${XDG_CACHE_HOME:-${HOME:?is not set, nor is XDG_CACHE_HOME}/.cache}/qtrail
cpu=$cache/libtorch-$version-cpu
cuda=$cache/libtorch-$version-cuda
wanted=$cpu
if has_gpu; then
  wanted=$cuda
elif ! is_whole "$cpu" && is_whole "$cuda"; then
  wanted=$cuda # serves both
fi

if ! is_whole "$wanted"; then
  command -v python3 >/dev/null ||
    fail "python3 with pip is needed to fetch libtorch; or set LIBTORCH to a copy of libtorch $version"
  python3 "$scripts/fetch_libtorch.py" "$version" "${wanted##*-}" "$wanted"
fi
link_to "$wanted"
