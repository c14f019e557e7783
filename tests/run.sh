#!/usr/bin/env bash
# Everything that must hold before a change is taken: environment, lint, types, layers, all tests.
#
#   tests/run.sh [--long] [-- PYTEST-ARGUMENTS...]
#
# Needs Python 3.11 or newer and nothing else; as root or as a user; safe to repeat.  --long adds the long runs (more
# seeds, more kills, soak).  Where Postgres and RabbitMQ come from is said in tests/services.py and in the summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
stop() {
    printf '\ntests/run.sh: %s\n' "$*" >&2
    exit 1
}

long=0
while [ $# -gt 0 ]; do
    case "$1" in
        --long) long=1 ;;
        --) shift; break ;;
        *) printf 'usage: tests/run.sh [--long] [-- PYTEST-ARGUMENTS...]\n' >&2; exit 2 ;;
    esac
    shift
done

check() { # NAME COMMAND...
    local name="$1"
    shift
    say "$name"
    "$@" || stop "$name failed: see above"
}

. deploy/venv.sh
prepare_environment

check "lint" .venv/bin/python -m ruff check .
check "format" .venv/bin/python -m ruff format --check .
check "types" .venv/bin/python -m mypy
check "layers" .venv/bin/lint-imports
if [ "$long" = 1 ]; then
    export HINTD_TEST_LONG=1
fi
check "tests" .venv/bin/python -m pytest -n 2 "$@"
say "all is well"
