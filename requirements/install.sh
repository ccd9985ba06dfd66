#!/bin/sh
# Makes .venv hold exactly what the named requirement files say, then leaves a stamp, so that the next call costs nothing.
# Usage: requirements/install.sh runtime ml [dev]      PYTHON=/path/to/python chooses the Python of a new .venv.
#        RECOGNIZER_VENV=build/peers-venv requirements/install.sh peers      another venv, which sees the packages of .venv too.
set -eu
cd "$(dirname "$0")/.."

venv=${RECOGNIZER_VENV:-.venv}

needed_mb=9000 # the packages with their GPU libraries, and pip's copies while it unpacks
is_new_enough='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        if "$candidate" -c "$is_new_enough" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    say "Recognizer needs Python 3.11 or newer, with its venv module. Found:"
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        version=$("$candidate" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null) || version=none
        [ "$version" = none ] && { say "  $candidate: none"; continue; }
        say "  $candidate: Python $version"
        "$candidate" -c 'import venv, ensurepip' 2>/dev/null || say "    and lacks venv (on Debian: apt install python3-venv)"
    done
    say "Install one (https://www.python.org/downloads/), or name yours: make serve PYTHON=/path/to/python3.11"
    return 1
}

contents() {
    for name in "$@"; do cat "requirements/$name.txt"; done | cksum
}

is_installed() { # the stamp names each file that was installed, with its checksum
    for name in "$@"; do
        grep -qxF "$name $(contents "$name")" "$venv/installed" 2>/dev/null || return 1
    done
    "$venv/bin/python" -c "$is_new_enough" 2>/dev/null
}

create_venv() {
    python=$(find_python)
    free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
    if [ "$free_mb" -lt "$needed_mb" ]; then
        say "The packages need about $needed_mb MB of disk; $PWD has $free_mb MB free. Free some space and start again."
        return 1
    fi
    say "Creating .venv with $("$python" --version) ..."
    "$python" -m venv --clear .venv
}

create_beside() { # what both have is installed once, and is the same version for both
    say "Creating $venv, which sees the packages of .venv ..."
    .venv/bin/python -m venv --clear "$venv"
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    .venv/bin/python -c "$site" >"$("$venv/bin/python" -c "$site")/beside.pth"
}

create() {
    if [ "$venv" = .venv ]; then create_venv; else create_beside; fi
}

is_installed "$@" && exit 0

"$venv/bin/python" -c "$is_new_enough" 2>/dev/null || create
say "Installing the pinned packages into $venv. The first time this takes some minutes."
files=''
for name in "$@"; do files="$files -r requirements/$name.txt"; done
# shellcheck disable=SC2086 # the names hold no spaces
if ! "$venv/bin/python" -m pip install --require-hashes --no-input --disable-pip-version-check $files; then
    say ""
    say "The packages could not be installed; pip's reason stands above. Most often:"
    say "  - no way to the package index: check the network; behind a mirror set PIP_INDEX_URL, behind a proxy HTTPS_PROXY"
    say "  - no wheel for this Python or machine: try another one, with PYTHON=/path/to/python3.11"
    say "  - a full disk"
    say "Then run the same command again: what was downloaded is kept. Removing $venv starts from nothing."
    exit 1
fi
for name in "$@"; do echo "$name $(contents "$name")"; done >"$venv/installed"
