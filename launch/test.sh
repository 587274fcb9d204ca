#!/usr/bin/env bash
# Runs the tests; arguments go to pytest: launch/test.sh tests/ops -k resize.
# With -m slow, those that are left out without: networks against originals,
# every system for every platform, faults that take whole runs.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

prepare requirements.txt tests/requirements.txt
# Whole files go to a worker, so that what a file compiles is compiled once, in
# the order of tests/conftest.py: the longest first.
exec "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
