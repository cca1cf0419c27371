#!/bin/sh
# Installs the GPU service's packages with the python given as the first argument. Everything but torch and torchvision
# has to have a sha256 of its lock; with DEVICE=cuda those have too.
# TORCH_ARGS: extra options of pip for torch and torchvision, such as another index. Its builds have no known hashes.
# DEVICE: 'cuda' takes PyPI's builds for CUDA, and onnxruntime-gpu in place of onnxruntime.
set -eu

python=${1:?usage: install.sh PYTHON}
here=$(cd "$(dirname "$0")" && pwd)
locked() { "$python" -m pip install --disable-pip-version-check --no-deps --require-hashes "$@"; }
by_version() {
    wanted=$(sed -n "s/^\($2==[^ ]*\).*/\1/p" "$here/$1")
    shift 2
    "$python" -m pip install --disable-pip-version-check "$@" "$wanted"
}

locked -r "$here/requirements.txt"
if [ "${DEVICE:-}" = cuda ]; then "$python" -m pip uninstall --yes onnxruntime; fi
if [ "${DEVICE:-}" = cuda ] && [ -z "${TORCH_ARGS:-}" ]; then
    locked -r "$here/requirements-cuda.txt"
else
    # each alone and in this order: an open range in another package would pull a build for other hardware
    # shellcheck disable=SC2086
    by_version requirements-torch.in torch ${TORCH_ARGS:-}
    # shellcheck disable=SC2086
    by_version requirements-torch.in torchvision ${TORCH_ARGS:-}
    if [ "${DEVICE:-}" = cuda ]; then by_version requirements-cuda.in 'onnxruntime-gpu\[cuda,cudnn\]'; fi
fi
PYTHONPATH=$here/build locked --no-build-isolation -r "$here/requirements-sources.txt"
