#!/bin/sh
# Builds the dashboard that the function app serves.
set -eu

cd frontend
npm ci --no-audit --no-fund
npm run build
test -s dist/index.html
