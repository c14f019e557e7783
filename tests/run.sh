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

# Under an empty environment bash knows a path but does not pass it on; rabbitmqctl is in sbin.
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PIP_DISABLE_PIP_VERSION_CHECK=1

long=0
while [ $# -gt 0 ]; do
    case "$1" in
        --long) long=1 ;;
        --) shift; break ;;
        *) printf 'usage: tests/run.sh [--long] [-- PYTEST-ARGUMENTS...]\n' >&2; exit 2 ;;
    esac
    shift
done

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_environment() {
    local python
    python="$(find_python)" || stop "there is no Python 3.11 or newer: install python3 and run this again"
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        install_venv_package
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
            stop "$python cannot make virtual environments: install its venv package (on Debian: python3-venv)"
    fi
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || stop "the virtual environment could not be made: see above"
}

install_venv_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    say "installing Debian's python3-venv"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends python3-venv ||
        { apt-get update -q && apt-get install -y -q --no-install-recommends python3-venv; } || return 0
}

install_packages() {
    local wanted
    wanted="$(cat constraints.txt pyproject.toml | sha256sum | cut -d' ' -f1)  $PWD"
    if [ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ]; then
        say "the environment is up to date"
        return
    fi
    say "installing what constraints.txt names, by hash"
    .venv/bin/python -m pip install -q --require-hashes -r constraints.txt ||
        stop "the packages could not be installed: see above; pip needs a way to its package index"
    .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e . ||
        stop "hintd itself could not be installed: see above"
    printf '%s\n' "$wanted" >.venv/installed
}

check() { # NAME COMMAND...
    local name="$1"
    shift
    say "$name"
    "$@" || stop "$name failed: see above"
}

is_new_enough .venv/bin/python || make_environment
# pip and others want a home that they can write to.
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
    mkdir -p .venv/home
    export HOME="$PWD/.venv/home"
fi
install_packages

check "lint" .venv/bin/python -m ruff check .
check "format" .venv/bin/python -m ruff format --check .
check "types" .venv/bin/python -m mypy
check "layers" .venv/bin/lint-imports
if [ "$long" = 1 ]; then
    export HINTD_TEST_LONG=1
fi
check "tests" .venv/bin/python -m pytest -n 2 "$@"
say "all is well"
