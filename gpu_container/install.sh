#!/bin/sh
# Installs the GPU service's packages with the python given as the first argument.
# TORCH_ARGS: extra options of pip for torch and torchvision, such as another index.
set -eu

python=${1:?usage: install.sh PYTHON}
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/requirements.txt
pip() { "$python" -m pip install --disable-pip-version-check "$@"; }
pinned() { sed -n "s/^\($1==[^ ]*\).*/\1/p" "$requirements"; }

# each alone and in this order: an open range in another package would pull a build for other hardware
# shellcheck disable=SC2086
pip ${TORCH_ARGS:-} "$(pinned torch)"
# shellcheck disable=SC2086
pip ${TORCH_ARGS:-} "$(pinned torchvision)"
# basicsr's and realesrgan's own dependencies include what only training and display need
others=$(mktemp)
trap 'rm -f "$others"' EXIT
grep -Ev '^(basicsr|realesrgan)==' "$requirements" >"$others"
pip -r "$others"
pip setuptools==84.2.1 wheel==0.48.0 cython==3.3.1
PYTHONPATH=$here/build pip --no-deps --no-build-isolation "$(pinned basicsr)" "$(pinned realesrgan)"
