#!/usr/bin/env bash
# Runs the tests; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/test.sh [--dry_run] [ARGUMENT...]

Makes .venv, installs requirements.txt and tests/requirements.txt into it if
they have changed, and runs pytest with the arguments given.

  tests/ops -k resize   the tests of a folder whose names have a word
  -m slow               those that are left out without: networks against
                        originals, every system for every platform, faults that
                        take whole runs
  --dry_run             prints the commands and runs none

`.venv/bin/python -m pytest --help` shows all arguments of pytest.
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

prepare requirements.txt tests/requirements.txt
# Whole files go to a worker, so that what a file compiles is compiled once, in
# the order of tests/conftest.py: the longest first.
run_last "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder \
  ${rest[@]+"${rest[@]}"}
