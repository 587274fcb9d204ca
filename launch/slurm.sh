#!/usr/bin/env bash
# Trains on a Slurm cluster; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/slurm.sh [--nodes=N] [--gpus=N] [--cpus=N] [--time=LIMIT]
                       [--jobs=N] [--partition=NAME] [--account=NAME]
                       [--dry_run] --config=FILE[:ARGUMENT] [--workdir=DIR]
                       [FLAG...]

Submits `python -m segjax.main` as a batch job, one process for each GPU. Run it
on a login node, in a folder that the nodes share.

  --nodes=N           default 1
  --gpus=N            of each node, default 1; 0 runs one process a node on CPUs
  --cpus=N            cores of each process, default 8
  --time=LIMIT        of a job, default 1-00:00:00
  --jobs=N            default 1: jobs that follow one another, each going on
                      where the one before met its time limit
  --partition=NAME    and --account=NAME: as sbatch takes them
  --dry_run           prints the commands and runs none

All other flags are those of launch/local.sh. Two minutes before the limit the
processes are asked to save and end. A job that was preempted is queued again,
and goes on. Output is appended to slurm-NAME.log beside the workdir.
END
}

nodes=1 gpus=1 cpus=8 time=1-00:00:00 jobs=1 sbatch=() rest=()
for argument in "$@"; do
  case "$argument" in
    --help | -h) usage && exit ;;
    --dry_run) dry_run=yes ;;
    --nodes=*) nodes=${argument#*=} ;;
    --gpus=*) gpus=${argument#*=} ;;
    --cpus=*) cpus=${argument#*=} ;;
    --time=*) time=${argument#*=} ;;
    --jobs=*) jobs=${argument#*=} ;;
    --partition=* | --account=*) sbatch+=("$argument") ;;
    *) rest+=("$argument") ;;
  esac
done
parse_run ${rest[@]+"${rest[@]}"}
name=$(basename "$workdir")

# A process a GPU: JAX gives each the one with its place on the node.
tasks=1
if [ "$gpus" -gt 0 ]; then
  tasks=$gpus
  sbatch+=("--gres=gpu:$gpus")
  prepare_for cuda13
else
  prepare requirements.txt
fi

# Without --kill-on-bad-exit the others wait for one that has failed.
step="srun --kill-on-bad-exit=1 $(words "$python" -m segjax.main "${flags[@]}")"
case "$workdir" in
  *://*) log=runs ;;
  *) log=$(dirname "$workdir") ;;
esac
run mkdir -p "$log"
for ((i = 0; i < jobs; i++)); do
  # Of jobs with one name, a singleton waits for those before.
  run sbatch "--job-name=segjax-$name" --dependency=singleton \
    "--nodes=$nodes" "--ntasks-per-node=$tasks" "--cpus-per-task=$cpus" \
    "--time=$time" --signal=TERM@120 --requeue --open-mode=append \
    "--output=$log/slurm-$name.log" ${sbatch[@]+"${sbatch[@]}"} \
    "--wrap=$step"
done
