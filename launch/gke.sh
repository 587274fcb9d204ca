#!/usr/bin/env bash
# Trains on TPUs of a GKE cluster; --help says how.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'END'
usage: launch/gke.sh --image=IMAGE --accelerator=NAME --topology=AxB[xC]
                     [--chips=N] [--slices=N] [--restarts=N] [--spot]
                     [--name=NAME] [--dry_run] --config=FILE[:ARGUMENT]
                     --workdir=gs://BUCKET/DIR [FLAG...]

Writes runs/NAME.yaml, a JobSet that runs `python -m segjax.main` on each host
of a TPU slice, or of several, and applies it with kubectl. The cluster needs
JobSet and a node pool of that accelerator and topology.

  --image=IMAGE       of launch/docker/Dockerfile, built with JAX=tpu, in a
                      registry that the cluster reads
  --accelerator=NAME  label of the nodes: tpu-v5-lite-podslice, tpu-v5p-slice,
                      tpu-v6e-slice
  --topology=AxB[xC]  of a slice, such as 4x4
  --chips=N           of a node, default 4
  --slices=N          default 1
  --restarts=N        after failures, default 20; each goes on from the last
                      checkpoint
  --spot              on spot nodes, cheaper, which may be preempted
  --name=NAME         of the JobSet; by default after the workdir
  --dry_run           prints the file and the commands, and runs none

All other flags are those of segjax.main. `kubectl logs -f job/NAME-slice-0`
shows what the first slice says, `kubectl delete jobset NAME` ends it.
END
}

image='' accelerator='' topology='' chips=4 slices=1 restarts=20 spot='' name=''
rest=()
for argument in "$@"; do
  case "$argument" in
    --help | -h) usage && exit ;;
    --dry_run) dry_run=yes ;;
    --image=*) image=${argument#*=} ;;
    --accelerator=*) accelerator=${argument#*=} ;;
    --topology=*) topology=${argument#*=} ;;
    --chips=*) chips=${argument#*=} ;;
    --slices=*) slices=${argument#*=} ;;
    --restarts=*) restarts=${argument#*=} ;;
    --spot) spot=yes ;;
    --name=*) name=${argument#*=} ;;
    *) rest+=("$argument") ;;
  esac
done
[ -n "$image" ] || fail '--image is missing; see launch/docker/Dockerfile.'
[ -n "$accelerator" ] || fail '--accelerator is missing: tpu-v6e-slice, ...'
[[ $topology =~ ^[0-9]+(x[0-9]+)+$ ]] ||
  fail "--topology='$topology' is not like 4x4 or 2x2x4."
parse_run ${rest[@]+"${rest[@]}"}
case "$workdir" in
  *://*) ;;
  *) fail "--workdir=$workdir is inside a pod: name one in a bucket." ;;
esac
nodes=$((${topology//x/*} / chips))
[ "$nodes" -gt 0 ] || fail "--topology=$topology has fewer than $chips chips."
# Names of pods are those of hosts: short, of few characters.
name=${name:-$(basename "$workdir")}
name=$(printf %.40s "$name" | tr '[:upper:]' '[:lower:]' | tr -c 'a-z0-9' -)

# argument TEXT: prints it as an item of the list of arguments, for YAML and for
# the pod, which would expand $(...).
argument() {
  local text=${1//\\/\\\\} quote='"'
  text=${text//$quote/\\$quote}
  printf '                    - "%s"\n' "${text//\$/\$\$}"
}

jobset() {
  local flag
  cat <<END
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  annotations:
    # A slice is a node pool.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: $restarts
  replicatedJobs:
    - name: slice
      replicas: $slices
      template:
        spec:
          parallelism: $nodes
          completions: $nodes
          # One host alone cannot go on: all begin again together.
          backoffLimit: 0
          template:
            spec:
              hostNetwork: true
              dnsPolicy: ClusterFirstWithHostNet
              restartPolicy: Never
              # For the checkpoint of a host that has to go.
              terminationGracePeriodSeconds: 120
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: $accelerator
                cloud.google.com/gke-tpu-topology: $topology
END
  if [ -n "$spot" ]; then
    echo '                cloud.google.com/gke-spot: "true"'
  fi
  cat <<END
              containers:
                - name: segjax
                  image: $image
                  securityContext:
                    privileged: true
                  resources:
                    limits:
                      google.com/tpu: $chips
                  args:
END
  # A pod that ends with 0 has finished its work, and is not started again.
  for flag in "${flags[@]}" --stopped_code=75; do
    argument "$flag"
  done
}

file=runs/$name.yaml
run mkdir -p runs
if [ -n "$dry_run" ]; then
  echo "cat >$file <<'END'"
  jobset
  echo END
else
  jobset >"$file"
fi
run kubectl apply -f "$file"
