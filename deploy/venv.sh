# shellcheck shell=bash
# The virtual environment of this checkout, made and kept up to date: sourced by deploy/demo.sh and tests/run.sh, which
# stand in the checkout's root and bring `say` and `stop`.  Needs Python 3.11 or newer and nothing else; safe to repeat.

# Under an empty environment bash knows a path but does not pass it on; rabbitmqctl is in sbin.
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PIP_DISABLE_PIP_VERSION_CHECK=1

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

prepare_environment() {
    is_new_enough .venv/bin/python || make_environment
    # pip and others want a home that they can write to.
    if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
        mkdir -p .venv/home
        export HOME="$PWD/.venv/home"
    fi
    install_packages
}
