#!/usr/bin/env bash
# Trains or evaluates on this machine; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/local.sh [--dry_run] --config=FILE[:ARGUMENT] [--workdir=DIR]
                       [FLAG...]

Makes .venv, installs requirements.txt into it if that has changed, and runs
`python -m segjax.main` with the flags given, from the project root.

  --config=configs/deeplabv3.py           what to run; after a colon its argument
  --workdir=DIR                           default runs/NAME, after the config:
                                          runs/deeplabv3, runs/deeplabv3-camvid
  --config.batch_size=4                   overrides one field of the config
  --mode=eval                             evaluates instead of training
  --helpfull                              every flag of segjax.main
  --dry_run                               prints the commands and runs none

The same command again continues where the last one stopped.
END
}

rest=()
for argument in "$@"; do
  case "$argument" in
    --help | -h) usage && exit ;;
    --dry_run) dry_run=yes ;;
    *) rest+=("$argument") ;;
  esac
done

parse_run ${rest[@]+"${rest[@]}"}
prepare requirements.txt
run_last "$python" -m segjax.main "${flags[@]}"
