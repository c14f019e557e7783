#!/usr/bin/env bash
# Shows hintd at work on this machine, from a fresh checkout on: makes a virtual environment, installs, and runs the demo.
#
#   deploy/demo.sh [--once] [...]      what `hintd demo` takes; see: deploy/demo.sh --help
#
# Needs Python 3.11 or newer and nothing else; as root or as a user; safe to repeat.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*" >&2; }
stop() {
    printf 'deploy/demo.sh: %s\n' "$*" >&2
    exit 1
}

. deploy/venv.sh
prepare_environment

say "hintd demo $*"
exec .venv/bin/hintd demo "$@"
