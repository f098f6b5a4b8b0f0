#!/usr/bin/env bash
# Prints the directory of a virtual environment, and the Python to make it with:
#   find.sh          .venv, and 3.11 where there is one, else another that does
#   find.sh 3.12     .venv-3.12 (or .venv, where that is of 3.12), and a Python 3.12
#   find.sh PATH     .venv-3.12-HASH, and the Python at PATH (or of that name on PATH)
# An environment of its own for each: none is ever of another Python than it says.
set -euo pipefail

oldest=10 newest=14 # Ray 2.60 and Dynamo 1.6 have wheels for these
wanted=${1:-}
default=.venv

fail() { printf 'venv: %s\n' "$@" >&2; exit 1; }

# version PYTHON: 3.12.1, or nothing where it does not run.
version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true; }
# itself PYTHON: where it really is, as opposed to a shim; nothing where it has no venv.
itself() { "$1" -c 'import sys, venv, ensurepip; print(sys.executable)' 2>/dev/null || true; }
supported() { case "$1" in 3.1[0-4] | 3.1[0-4].*) true ;; *) false ;; esac; }
range="Ray and Dynamo run with Python 3.$oldest to 3.$newest"

# find VERSION: the first Python of that version with venv. A version of two numbers
# stands for all that begin so.
without=
find() {
  local minor=${1%.*} python
  case "$1" in *.*.*) ;; *) minor=$1 ;; esac
  shopt -s nullglob
  for python in $(type -ap "python$minor" python3 python) "${PYENV_ROOT:-$HOME/.pyenv}/versions/$minor".*/bin/python \
    "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-"$minor".*/bin/python; do
    case "$(version "$python")" in "$1" | "$1".*) ;; *) continue ;; esac
    found=$(itself "$python")
    if [ -n "$found" ]; then return 0; fi
    without=$python
  done
  found=
  return 1
}

case "$wanted" in
"")
  for v in 3.11 3.12 3.13 3.10 3.14; do
    if find "$v"; then echo "$default $found"; exit 0; fi
  done
  fail "no Python from 3.$oldest to 3.$newest with venv found (tried python3.11 and the others on PATH, pyenv and uv)" \
    "install one, for example: apt-get install python3.11 python3.11-venv; or name one: make venv PYTHON=/path/to/python3.12"
  ;;
[0-9]*)
  supported "$wanted" || fail "$range, not with $wanted: name one of those, for example: make venv PYTHON=3.12"
  if ! find "$wanted"; then
    [ -z "$without" ] || fail "$without has no venv: apt-get install python${wanted}-venv, or name another by its path: PYTHON=/path/to/python$wanted"
    fail "no Python $wanted found (tried python$wanted on PATH, pyenv and uv)" \
      "install it, for example: apt-get install python$wanted python$wanted-venv, pyenv install $wanted, or uv python install $wanted; or name one by its path: PYTHON=/path/to/python$wanted"
  fi
  if grep -qsE "^version = ${wanted//./\\.}(\.|\$)" $default/pyvenv.cfg; then echo "$default $found"; else echo ".venv-$wanted $found"; fi
  ;;
*)
  python=$(type -P "$wanted" || true)
  [ -n "$python" ] || fail "no program $wanted: PYTHON is a version (3.12) or the path of a Python"
  v=$(version "$python")
  [ -n "$v" ] || fail "$wanted is no Python that runs: see what it says: $wanted --version"
  supported "$v" || fail "$range; $wanted is $v: name another one, for example: make venv PYTHON=3.12"
  found=$(itself "$python")
  [ -n "$found" ] || fail "$wanted has no venv: install it (apt-get install python${v%.*}-venv), or name another one"
  echo ".venv-${v%.*}-$(printf %s "$found" | cksum | cut -d' ' -f1) $found"
  ;;
esac
