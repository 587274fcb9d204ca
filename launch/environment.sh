# Sourced by the scripts beside it: goes to the project root and defines
# `prepare`, which makes .venv and installs what is not yet installed there.
# shellcheck shell=bash

cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null || exit
python=.venv/bin/python

# Is $1 a Python that the pinned packages support, with the module $2?
usable() {
  "$1" -c "import sys, $2
sys.exit(not (3, 11) <= sys.version_info < (3, 14))" >/dev/null 2>&1
}

# Prints the first Python that can make .venv, or says what was found instead.
find_python() {
  local name version found=''
  for name in python3 python3.13 python3.12 python3.11; do
    if usable "$name" ensurepip; then
      echo "$name"
      return
    fi
    if version=$("$name" --version 2>&1); then
      found="$found $name ($version)"
    fi
  done
  cat >&2 <<END
No Python that can make .venv is on PATH.
Found:  ${found:- no python3 at all}
Needed: Python 3.11, 3.12 or 3.13 with its venv module
Install one (https://www.python.org/downloads, brew install python@3.12, or
apt install python3.12-venv) and run this script again.
END
  return 1
}

# prepare FILE...: installs the requirements files that have changed since they
# were last installed. .venv/installed holds a copy of each, written only after
# pip has succeeded: an interrupted installation is repeated.
prepare() {
  local file base
  if ! usable "$python" pip; then
    base=$(find_python)
    echo "Making .venv with $("$base" --version)."
    "$base" -m venv --clear .venv
  fi
  for file in "$@"; do
    if ! cmp -s "$file" ".venv/installed/$file"; then
      echo "Installing $file into .venv; this is done once."
      "$python" -m pip install --disable-pip-version-check -r "$file"
      mkdir -p "$(dirname ".venv/installed/$file")"
      cp "$file" ".venv/installed/$file"
    fi
  done
}
