#!/usr/bin/env bash
# Trains in several processes on this machine; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/processes.sh N [--port=PORT] [--dry_run] --config=FILE[:ARGUMENT]
                           [--workdir=DIR] [FLAG...]

Runs `python -m segjax.main` as N processes of this machine that train together.
Process I takes GPU I where there are GPUs; without, each computes on the CPU.

  --port=PORT       where they meet; by default one that depends on this shell
  --dry_run         prints the commands and runs none

All other flags are those of launch/local.sh. Ctrl-C or SIGTERM stops all of
them after they have saved, and the same command again goes on from there.
END
}

number='' port=$((20000 + $$ % 10000)) rest=()
for argument in "$@"; do
  case "$argument" in
    --help | -h) usage && exit ;;
    --dry_run) dry_run=yes ;;
    --port=*) port=${argument#--port=} ;;
    [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) number=$argument ;;
    *) rest+=("$argument") ;;
  esac
done
[ -n "$number" ] || fail 'The number of processes is missing.'
parse_run ${rest[@]+"${rest[@]}"}
prepare requirements.txt

children=()
trap 'kill -TERM ${children[@]+"${children[@]}"} 2>/dev/null || true' INT TERM
for ((i = 0; i < number; i++)); do
  command=(env "JAX_LOCAL_DEVICE_IDS=$i" "$python" -m segjax.main "${flags[@]}"
    "--coordinator=127.0.0.1:$port" "--num_processes=$number"
    "--process_id=$i")
  if [ -n "$dry_run" ]; then
    echo "$(words "${command[@]}") &"
  else
    "${command[@]}" &
    children+=($!)
  fi
done

# The first code that is not 0; a signal interrupts `wait`, so it is repeated.
status=0
for child in ${children[@]+"${children[@]}"}; do
  code=0
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
  done
  [ "$status" -ne 0 ] || status=$code
done
exit "$status"
