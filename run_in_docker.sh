#!/usr/bin/env bash
# Builds and pushes an image with docker run: kaniko's script of this name, with its arguments.
set -euo pipefail

if (($# < 3)); then
  echo "Usage: run_in_docker.sh <path to Dockerfile> <context directory> <image tag> [true|false: cache] [flags]" >&2
  exit 1
fi
dockerfile=$1 context=$(realpath -- "$2") destination=$3 cache=false
shift 3
if [[ ${1-} == true || ${1-} == false ]]; then
  cache=$1
  shift
fi

mounts=(-v "$context:/workspace")
# Read-only: a build takes credentials away while a step runs where it can, and these are your own.
config=${DOCKER_CONFIG:-$HOME/.docker}/config.json
if [[ -e $config ]]; then
  mounts+=(-v "$config:/kaniko/.docker/config.json:ro")
fi
gcloud=$HOME/.config/gcloud
if [[ $destination == *gcr.io/* || $destination == *.pkg.dev/* ]] && [[ -d $gcloud ]]; then
  mounts+=(-v "$gcloud:/root/.config/gcloud:ro")
fi

exec docker run --rm "${mounts[@]}" "${YADOKARI_IMAGE:-ghcr.io/yadokari-build/yadokari:v0.1.0}" \
  --dockerfile "$dockerfile" --context dir:///workspace/ --destination "$destination" "--cache=$cache" "$@"
