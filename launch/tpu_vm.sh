#!/usr/bin/env bash
# Trains on a Cloud TPU VM, of one host or many; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/tpu_vm.sh run NAME --zone=ZONE --type=TYPE [--spot]
                        [--version=VERSION] [--project=PROJECT] [--dry_run]
                        --config=FILE[:ARGUMENT] --workdir=gs://BUCKET/DIR
                        [FLAG...]
       launch/tpu_vm.sh follow|delete NAME --zone=ZONE [--project=PROJECT]
                        [--dry_run]

run     creates the TPU VM, or takes the one of that name, copies the project
        to all of its hosts, sets them up, starts `python -m segjax.main` on
        all and shows what it says. If the TPU is preempted, a new one is
        created and the run goes on from its last checkpoint.
follow  shows what a run says that goes on there; Ctrl-C ends only the showing.
delete  deletes the TPU VM. Nothing else does: it costs until then.

  --type=TYPE         accelerator type, such as v4-32 or v6e-16
  --spot              cheaper, and may be preempted
  --version=VERSION   of the TPU's software; by default the one for the type
  --dry_run           prints the commands and runs none

All other flags are those of segjax.main. The workdir is one that all hosts can
write, and that outlives them: a bucket. Needs gcloud, and `ssh-add
~/.ssh/google_compute_engine` before a run of several hosts.
END
}

zone='' type='' version='' project=() spot=() words=() rest=()
for argument in "$@"; do
  case "$argument" in
    --help | -h) usage && exit ;;
    --dry_run) dry_run=yes ;;
    --zone=*) zone=${argument#*=} ;;
    --type=*) type=${argument#*=} ;;
    --version=*) version=${argument#*=} ;;
    --project=*) project=("$argument") ;;
    --spot) spot=(--spot) ;;
    --*) rest+=("$argument") ;;
    *) words+=("$argument") ;;
  esac
done
[ ${#words[@]} -eq 2 ] || fail 'Name an action and a TPU: run NAME --zone=...'
action=${words[0]} name=${words[1]}
[ -n "$zone" ] || fail '--zone is missing; gcloud compute tpus locations list'

# shellcheck disable=SC2016  # It expands on the host.
running='kill -0 "$(cat segjax.pid)" && echo yes'
stopped=75  # The code of a run that SIGTERM has stopped: it is to go on.

# tpu VERB ARGUMENT...: a gcloud command about the TPU VM.
tpu() {
  local verb=$1
  shift
  run gcloud compute tpus tpu-vm "$verb" "$@" "--zone=$zone" \
    ${project[@]+"${project[@]}"}
}

# on WORKER COMMAND: runs a shell command on a host, or on all.
on() {
  tpu ssh "$name" "--worker=$1" "--command=$2"
}

# Prints READY, PREEMPTED, ...; nothing where there is no such TPU.
state() {
  tpu describe "$name" '--format=value(state)' 2>/dev/null || true
}

# Shows the log until the run ends.
follow() {
  # shellcheck disable=SC2016  # It expands on the host.
  on 0 'tail -n +1 -F --pid="$(cat segjax.pid)" segjax.log'
}

create() {
  tpu create "$name" "--accelerator-type=$type" "--version=$version" \
    ${spot[@]+"${spot[@]}"}
}

delete() {
  tpu delete "$name" --quiet
}

# Copies the project and installs what it needs, on all hosts.
set_up() {
  local archive=${TMPDIR:-/tmp}/segjax-$name.tar.gz
  run tar -czf "$archive" --exclude=./.git --exclude=./.venv --exclude=./runs .
  tpu scp "$archive" "$name:segjax.tar.gz" --worker=all
  # Images of Ubuntu 22.04 have Python 3.10.
  on all 'mkdir -p segjax && tar -xzf segjax.tar.gz -C segjax && cd segjax &&
if ! python3 -c "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
then sudo apt-get -qq update && sudo apt-get -qq install -y python3.11-venv
fi && bash -euc "source launch/environment.sh && prepare_for tpu"'
}

# Starts the run on all hosts, where it outlives the connection.
start() {
  local command
  command=$(words "$python" -m segjax.main "${flags[@]}" \
    "--stopped_code=$stopped")
  command=$(words nohup bash -c "$command; echo \$? >../segjax.code")
  on all "cd segjax && rm -f ../segjax.code &&
($command >../segjax.log 2>&1 </dev/null & echo \$! >../segjax.pid)"
}

case "$action" in
  run) ;;
  follow | delete)
    "$action"
    exit
    ;;
  *) fail "There is no action '$action'." ;;
esac

[ -n "$type" ] || fail '--type is missing, such as --type=v4-32.'
parse_run ${rest[@]+"${rest[@]}"}
case "$workdir" in
  *://*) ;;
  *) fail "--workdir=$workdir is on the TPU VM itself: name one in a bucket." ;;
esac
if [ -z "$version" ]; then
  case "$type" in
    v6e-*) version=v2-alpha-tpuv6e ;;
    v5p-*) version=v2-alpha-tpuv5 ;;
    v5litepod-*) version=v2-alpha-tpuv5-lite ;;
    *) version=tpu-ubuntu2204-base ;;
  esac
fi

while true; do
  case "$(state)" in
    READY) ;;
    '') create ;;
    *) # Preempted, or stopped: it cannot be started again.
      delete
      until create; do
        say 'No TPU to be had; the next try is in five minutes.'
        sleep 300
      done
      ;;
  esac
  if [ "$(on 0 "$running" 2>/dev/null)" != yes ]; then
    set_up
    start
  fi
  follow || true
  code=$(on 0 'cat segjax.code' 2>/dev/null) || code=''
  if [ -n "$dry_run" ]; then
    say 'After a preemption: delete, create, and all of this again.'
    exit
  fi
  if [ -n "$code" ] && [ "$code" != "$stopped" ]; then
    say "The run has ended; the TPU costs until: launch/tpu_vm.sh delete $name"
    exit "$code"
  fi
  say "The connection is lost, or the TPU preempted; looking."
  sleep 60
done
