#!/usr/bin/env bash
# The page's script: how it is formatted, its types, and the tests of its pure parts. It needs node, 20 or newer, and npm.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
npm run check
