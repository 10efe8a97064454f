#!/usr/bin/env bash
# Makes .deps/model-training, the Python environment of training and export, from tools/model/training.lock: every
# package at one version, with its sha256. Does nothing where it is made already. 5 GB, since torch brings CUDA.
#
#   tools/model/environment.sh          install
#   tools/model/environment.sh --lock   resolve requirements-training.txt anew into training.lock
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=.deps/model-training lock=tools/model/training.lock
uv=$folder/bin/uv
want=$([ ! -f $lock ] || sha256sum $lock | cut -d " " -f 1)

if [ "${1-}" = "" ] && [ "$(cat $folder/ready 2>/dev/null)" = "$want" ] && $folder/bin/python -c '' 2>/dev/null; then
  exit 0
fi
if [ ! -x $uv ]; then
  python3 -m venv $folder
  $folder/bin/pip install --disable-pip-version-check --quiet uv==0.13.9
fi
case ${1-} in
  "")
    rm -f $folder/ready
    echo "installing Python's packages for training and export into $folder (5 GB)"
    # Not `sync`: it would take uv and pip away.
    VIRTUAL_ENV=$PWD/$folder $uv pip install --quiet --require-hashes -r $lock
    echo "$want" >$folder/ready
    ;;
  --lock)
    $uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
      --no-emit-index-url --upgrade tools/model/requirements-training.txt --output-file $lock
    ;;
  *) echo "environment.sh: unknown argument '$1'; known: --lock" >&2 && exit 2 ;;
esac
