#!/bin/sh
# Builds the dashboard, and the folder that the function app is deployed from.
set -eu

(cd frontend && npm ci --no-audit --no-fund && npm run build)
python3 -m infra.package
