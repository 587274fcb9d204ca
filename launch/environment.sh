# Sourced by the scripts beside it: goes to the project root and defines what
# they share. With `dry_run` set, `run` prints commands and runs none.
# shellcheck shell=bash

cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null || exit
python=.venv/bin/python
dry_run=''
exec 3>&1  # Where a dry run prints, also from within $(...).

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

# words WORD...: prints them on a line that a shell reads as the same words.
words() {
  local word line='' quote="'" quoted="'\\''"
  for word in "$@"; do
    case "$word" in
      '' | *[!A-Za-z0-9_=:,./@%+-]*) word="'${word//$quote/$quoted}'" ;;
    esac
    line="$line $word"
  done
  echo "${line# }"
}

# run COMMAND...: runs it, or only prints it with --dry_run.
run() {
  if [ -n "$dry_run" ]; then
    words "$@" >&3
  else
    "$@"
  fi
}

# run_last COMMAND...: the same in the place of this script, so that the command
# gets its signals and decides its exit code.
run_last() {
  if [ -n "$dry_run" ]; then
    run "$@"
  else
    exec "$@"
  fi
}

# say WORD...: prints a line, as a comment among printed commands.
say() {
  echo "${dry_run:+# }$*"
}

# prepare FILE...: installs the requirements files that have changed since they
# were last installed. .venv/installed holds a copy of each, written only after
# pip has succeeded: an interrupted installation is repeated.
prepare() {
  local file base
  if ! usable "$python" pip; then
    base=$(find_python)
    say "Making .venv with $("$base" --version)."
    run "$base" -m venv --clear .venv
  fi
  for file in "$@"; do
    if ! cmp -s "$file" ".venv/installed/$file"; then
      say "Installing $file into .venv; this is done once."
      run "$python" -m pip install --disable-pip-version-check -r "$file"
      run mkdir -p "$(dirname ".venv/installed/$file")"
      run cp "$file" ".venv/installed/$file"
    fi
  done
}

# prepare_for tpu|cuda13: `prepare`, and JAX for that, once for each version.
prepare_for() {
  local jax
  jax=$(sed -n "s/^jax==/jax[$1]==/p" requirements.txt)
  prepare requirements.txt
  if ! [ -e ".venv/installed/$jax" ]; then
    say "Installing $jax into .venv; this is done once."
    run "$python" -m pip install --disable-pip-version-check "$jax"
    run touch ".venv/installed/$jax"
  fi
}

# fail MESSAGE...: what is wrong with the command line, and where to read more.
fail() {
  printf '%s\n' "$@" "launch/$(basename "$0") --help says more." >&2
  exit 2
}

# parse_run FLAG...: sets `flags` to the flags of segjax.main, with a workdir
# named after the config if none is among them; sets `config` and `workdir`.
# Fails if there is no config.
parse_run() {
  local argument flag='' file
  config='' workdir='' flags=("$@")
  for argument in "$@"; do
    case "$flag$argument" in
      --config=*) config=${argument#--config=} ;;
      --workdir=*) workdir=${argument#--workdir=} ;;
    esac
    case "$argument" in
      --config | --workdir) flag="$argument=" ;;
      *) flag='' ;;
    esac
  done
  [ -n "$config" ] || fail "--config is missing; it is one of: $(echo configs/*.py)"
  if [ -z "$workdir" ]; then
    file=${config%%:*}
    workdir=$(basename "$file" .py)${config#"$file"}
    workdir=runs/$(printf %s "$workdir" | LC_ALL=C tr -c 'A-Za-z0-9._' -)
    flags+=("--workdir=$workdir")
  fi
}
