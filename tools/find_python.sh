#!/bin/sh
# Print the first interpreter that can make the venv: Python 3.11 to 3.14, with the module venv.
# Where there is none, print one sentence that says why, and fail. "$1" leaves that interpreter only.

if [ -n "$1" ]; then
    set -- "$1"
    why="$1 does not start"
else
    set -- python3.11 python3.12 python3.13 python3.14 python3
    why="none was found"
fi

for python in "$@"; do
    # A name on PATH says little: version managers put shims there that only fail.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
    3.11 | 3.12 | 3.13 | 3.14) ;;
    *)
        why="$python is $version"
        continue
        ;;
    esac
    # Debian and Ubuntu leave ensurepip out of python3 itself.
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
    why="$python cannot make a venv (on Debian: apt-get install python$version-venv)"
done

echo "Python 3.11 to 3.14 is needed; $why. Give another with PYTHON=…"
exit 1
