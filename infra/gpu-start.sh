#!/bin/sh
# What the GPU app runs. azd changes nothing but the image of an app, so port and probes must be right from the
# first provisioning on, when there is no image yet: a placeholder answers them then.
set -eu

if [ -f /app/gpu_container/__main__.py ]; then
    cd /app
    exec python -m gpu_container
fi
mkdir -p /tmp/placeholder
cd /tmp/placeholder
touch healthz readyz
exec python3 -m http.server "$GPU_PORT"
