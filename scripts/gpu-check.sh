#!/usr/bin/env bash
# What only a GPU can show, checked in six minutes on a machine without network.
#
#   scripts/gpu-check.sh [--bin DIR] [--data DIR] [--device NAME] [--out DIR] [--python PROGRAM]
#                        [--seconds N] [--only CHECK,…]
#
#   --bin      folder of qtrail and qtrail-torch            [target/release]
#   --data     Fashion-MNIST's four files                   [as `qtrail data fetch` leaves them]
#   --device   cuda:0, or cpu to try this script            [cuda:0]
#   --out      folder for what comes of it: gpu-check.jsonl, a log for each check, stores [new, in /tmp]
#   --python   with torch and numpy, for `training` and `waits` [python3]
#   --seconds  no check runs beyond that                    [340]
#   $LIBTORCH  a libtorch 2.11 for a qtrail-torch that does not find its own, as in a PyTorch
#              package; where that is the Python's, it is found
#
# Checks: search verify final attack trainers waits training (benches/README.md says what they are).
# A result is `good`, `FAILED`, `not checked` (it cannot run here) or `not run` (no time was left).
# Only `good` is a pass. Exit codes: 1 if a check failed, 2 on wrong use, else 0.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checks=(search verify final attack trainers waits training)
bin=$here/../target/release
data=${XDG_CACHE_HOME:-${HOME-}/.cache}/qtrail/data/fashion-mnist
device=cuda:0 out='' python=python3 seconds=340 only='' check=''

usage() { echo "gpu-check: $*; the first lines of $0 say how it is used" >&2; exit 2; }

while (($#)); do
  [[ $1 =~ ^--(bin|data|device|out|python|seconds|only|check)$ ]] || usage "there is no option '$1'"
  (($# > 1)) || usage "$1 needs a value"
  printf -v "${1#--}" %s "$2"
  shift 2
done

# --- what checks are made of

say() { echo "$*" >&3; } # a figure
fail() { say "$*"; exit 1; }
skip() { say "$*"; exit 77; }
qt() { echo "\$ qtrail --store $*"; "$bin/qtrail" --store "$@"; }
ask() { "$bin/qtrail" --store "$1" sql "$2" --format csv --no-header 2>/dev/null || echo -1; }
digests() { "$bin/qtrail" --store "$1" log digest --logical 2>/dev/null; }
search=(search --preset "$([[ $device == cpu ]] && echo tiny || echo demo)" --seed 1 --threads 1 --data "$data")

# The same searches and runs, never interrupted: made by the first check that needs it.
unbroken() {
  [[ -e $out/unbroken.done ]] && return
  rm -rf "$out/unbroken"
  qt "$out/unbroken" "${search[@]}" --device "$device"
  touch "$out/unbroken.done"
}

# Kills the command with SIGKILL as soon as the query's answer has reached a number.
kill_at() { # NUMBER QUERY STORE ARGUMENTS…
  local number=$1 query=$2 status=0
  shift 2
  echo "\$ qtrail --store $* (to be killed)"
  "$bin/qtrail" --store "$@" --device "$device" &
  local command=$!
  while kill -0 $command 2>/dev/null; do
    if (($(ask "$1" "$query") >= number)); then
      kill -KILL $command || true # it may have ended: its exit code tells
      break
    fi
    sleep 0.05
  done
  wait $command || status=$?
  ((status == 137)) || fail "it ended (exit code $status) before it could be killed"
}

# Each trial must have one result that counts, and nothing may be unfinished.
one_result_each() { # STORE
  local trials wrong open
  trials=$(ask "$1" "SELECT count(*) FROM trial")
  wrong=$(ask "$1" "SELECT count(*) FROM trial t WHERE 1 <> (SELECT count(*) FROM event e
    JOIN kind k ON k.number = e.kind WHERE k.name = 'trial-finished' AND e.trial = t.id)")
  open=$(ask "$1" "SELECT count(*) FROM job WHERE finished_at IS NULL")
  say "$trials trials"
  ((trials > 0 && wrong == 0)) || fail "$wrong of them without exactly one result"
  ((open == 0)) || fail "$open searches or runs are not finished"
}

# On a GPU training is not reproducible bit by bit, so nothing is promised of digests there.
same_history() { # STORE STORE NAME
  if [[ $(digests "$1") == "$(digests "$2")" ]]; then
    say "logical digest equal to that of $3"
  elif [[ $device == cpu ]]; then
    fail "another logical digest than $3"
  else
    say "another logical digest than $3 (a GPU promises none)"
  fi
}

took() { # COMMAND…: its milliseconds
  local begun=${EPOCHREALTIME/./}
  "$@" >&2
  echo $(((${EPOCHREALTIME/./} - begun) / 1000))
}

# --- the checks

# A search killed twice and resumed.
check_search() {
  local epochs='SELECT count(*) FROM epoch'
  unbroken
  kill_at 5 "$epochs" "$out/search" "${search[@]}"
  kill_at 12 "$epochs" "$out/search" resume
  qt "$out/search" resume --device "$device"
  one_result_each "$out/search"
  same_history "$out/search" "$out/unbroken" "the unbroken one"
}

# The log against its checksums, its artifacts, its tables and every Q-table on record.
check_verify() {
  local store
  unbroken
  for store in search unbroken; do
    [[ -e $out/$store ]] || continue
    qt "$out/$store" log verify --deep || fail "$store: \`log verify --deep\`, exit code $?"
    qt "$out/$store" replay --policy as-logged || fail "$store: \`replay --policy as-logged\`, exit code $?"
    say "$store: $(ask "$out/$store" 'SELECT count(*) FROM event') events"
  done
}

# A long training killed between two epochs and resumed from its checkpoint.
check_final() {
  local epochs="SELECT count(*) FROM epoch e JOIN trial t ON t.id = e.trial JOIN job j ON j.id = t.job WHERE j.kind = 'run'"
  local final=(final s1 --top 2 --recipe short --threads 1)
  unbroken
  cp -r "$out/unbroken" "$out/final"
  cp -r "$out/unbroken" "$out/final-unbroken"
  kill_at 3 "$epochs" "$out/final" "${final[@]}"
  qt "$out/final" resume r1 --device "$device"
  one_result_each "$out/final"
  (($(ask "$out/final" 'SELECT count(*) FROM attempt WHERE continues IS NOT NULL') > 0)) ||
    fail "no attempt continued from a checkpoint"
  qt "$out/final" log verify || fail "\`log verify\`, exit code $?"
  qt "$out/final-unbroken" "${final[@]}" --device "$device"
  same_history "$out/final" "$out/final-unbroken" "the unbroken one"
}

# The same model and images attacked on the CPU and on the device.
check_attack() {
  local images=200 wrong=0
  [[ $device != cpu ]] || images=50
  unbroken
  attack_on cpu f32 cpu-f32
  attack_on "$device" f32 device-f32
  attack_on "$device" bf16 device-bf16
  against_cpu f32 0.95
  against_cpu bf16 0.9
  ((wrong == 0)) || exit 1
}

attack_on() { # DEVICE DTYPE NAME
  local store=$out/attack-$3
  cp -r "$out/unbroken" "$store"
  qt "$store" attack --top 1 --images $images --eps 8 --method fast,basic --transform none \
    --noise-images 0 --dtype "$2" --threads 1 --device "$1"
  qt "$store" export adversarial a1 -o "$store.safetensors"
}

against_cpu() { # DTYPE AGREE: the least part of predictions that must be equal
  say "$1 against the CPU's f32:"
  "$python" "$here/gpu_check.py" images "$out/attack-cpu-f32.safetensors" \
    "$out/attack-device-$1.safetensors" "$2" >&3 || wrong=1
}

# Two trainers on one device, against one.
check_trainers() {
  local one two
  one=$(took qt "$out/one-trainer" "${search[@]}" --in-flight 4 --device "$device")
  two=$(took qt "$out/two-trainers" "${search[@]}" --in-flight 4 --device "$device*2")
  one_result_each "$out/two-trainers"
  same_history "$out/two-trainers" "$out/one-trainer" "one trainer"
  say "one trainer $((one / 1000)).$((one / 100 % 10)) s, two $((two * 100 / one)) % of that"
}

# The host must not wait for the device within an epoch.
check_waits() {
  [[ $device != cpu ]] || skip "a CPU does not wait for a device"
  command -v cc >/dev/null || skip "there is no C compiler (cc)"
  "$python" -c 'import numpy' || skip "$python has no numpy"
  cc -O2 -shared -fPIC -o "$out/cuda_calls.so" "$here/cuda_calls.c" -ldl || skip "cc cannot compile"
  "$python" "$here/gpu_check.py" waits "$out/cuda_calls.so" "$bin/qtrail-torch" "$device" "$data" >&3
}

# Images per second of ten networks, against PyTorch.
check_training() {
  local json=$out/training.jsonl status=0
  local settings=(--train 12800 --epochs 3 --variants plain,channels-last)
  [[ $device != cpu ]] || settings=(--train 256 --epochs 1 --variants plain --only 1,2 --threads 1)
  "$python" -c 'import numpy, sys, torch; torch.ones(1, device=sys.argv[1])' "$device" ||
    skip "$python has no torch for $device, or no numpy"
  "$python" "$here/../benches/peers/train.py" --trainer "$bin/qtrail-torch" --device "$device" \
    --data "$data" --rounds 1 --seconds $((seconds - 30)) \
    --json "$json" "${settings[@]}" >"$out/training.txt" || status=$?
  cat "$out/training.txt"
  "$python" - "$json" >&3 <<'PYTHON'
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    rates = ", ".join(f"{name} {rate:,}" for name, rate in row["images_per_second"].items())
    print(f"{row['network']}: {rates} images/s")
PYTHON
  grep -oE '[a-z-]*: .* times as fast.*|the time is over.*' "$out/training.txt" >&3 || true
  ((status == 0)) || fail "benches/peers/train.py, exit code $status"
  [[ -s $json ]] || skip "no time was left for a network"
}

if [[ -n $check ]]; then
  exec 3>"$out/$check.figures" >&2
  "check_$check"
  exit
fi

# --- all of them

[[ $seconds =~ ^[0-9]+$ ]] || usage "--seconds is a number, not '$seconds'"
[[ -x $bin/qtrail && -x $bin/qtrail-torch ]] || usage "$bin has no qtrail and qtrail-torch (--bin)"
[[ -e $data/train-images-idx3-ubyte.gz ]] || usage "$data has no train-images-idx3-ubyte.gz (--data)"
for name in ${only//,/ }; do
  [[ " ${checks[*]} " == *" $name "* ]] || usage "there is no check '$name', only ${checks[*]}"
done
[[ -z $only ]] || IFS=, read -ra checks <<<"$only"
bin=$(cd "$bin" && pwd) data=$(cd "$data" && pwd)
out=${out:-$(mktemp -d)}
mkdir -p "$out"
out=$(cd "$out" && pwd)
[[ ! -e $out/gpu-check.jsonl ]] || usage "$out holds what came of an earlier check (--out)"

export QTRAIL_TRAINER=$bin/qtrail-torch
hello() { "$python" "$here/gpu_check.py" devices "$QTRAIL_TRAINER" 2>&1; }
if [[ " $(hello) " != *" $device "* ]]; then
  LIBTORCH=${LIBTORCH:-$("$python" -c 'import torch; print(torch.__path__[0])' 2>/dev/null || true)}
  export LD_LIBRARY_PATH=$LIBTORCH/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
devices=$(hello) || usage "$QTRAIL_TRAINER does not start ($devices); set LIBTORCH"
[[ " $devices " == *" $device "* ]] || usage "there is no device '$device' (--device), only $devices"

run() { # CHECK: writes its row
  local left=$((seconds - SECONDS)) begun=$SECONDS status=0 result figures
  if ((left < 10)); then
    result='not run' figures="the time ($seconds s) is over"
  else
    timeout -k 5 $left bash "$0" --check "$1" --bin "$bin" --data "$data" --device "$device" \
      --out "$out" --python "$python" --seconds $left 2>"$out/$1.log" || status=$?
    figures=$(cat "$out/$1.figures")
    case $status in
      0) result=good ;;
      77) result='not checked' ;;
      124 | 137) result='not run' figures+=${figures:+$'\n'}"the time ($seconds s) was over before it ended" ;;
      *) result=FAILED figures+=${figures:+$'\n'}"see $out/$1.log: $(tail -n 1 "$out/$1.log")" failed=1 ;;
    esac
  fi
  results[$result]=$((${results[$result]-0} + 1))
  "$python" "$here/gpu_check.py" row "$1" "$result" $((SECONDS - begun)) "$figures" >>"$out/gpu-check.jsonl"
  printf '%-9s  %-11s  %4d  %s\n' "$1" "$result" $((SECONDS - begun)) "$(sed '2,$s/^/                              /' <<<"$figures")"
}

failed=0
declare -A results=()
printf '%-9s  %-11s  %4s  %s\n' check result s figures
for name in "${checks[@]}"; do
  run "$name"
done
for name in good FAILED 'not checked' 'not run'; do printf '%s %s, ' "${results[$name]-0}" "$name"; done
echo "in $SECONDS s; logs and gpu-check.jsonl are in $out"
exit $failed
