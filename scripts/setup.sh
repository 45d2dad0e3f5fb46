# Sourced by run and test: makes .venv hold exactly what one hash-pinned lock says, and this checkout.
# A stamp remembers the lock it was made from, so that a second run has nothing to do.

set_up() { # set_up LOCK
  lock="requirements/$1.lock"
  want="$(cat "$lock" pyproject.toml scripts/setup.sh | cksum) $PWD"
  if [ -x .venv/bin/python ] && [ "$(cat ".venv/stamp-$1" 2>/dev/null)" = "$want" ]; then return; fi

  if [ ! -x .venv/bin/python ]; then
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
      if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi
      python=""
    done
    if [ -z "$python" ]; then
      echo "Callmood needs Python 3.11 or newer: install it, or name one, as in PYTHON=/path/to/python3 $0" >&2
      exit 2
    fi
    echo "scripts: making .venv with $("$python" --version)" >&2
    "$python" -m venv .venv || { echo "the venv module is missing: install it (Debian: apt install python3-venv)" >&2; exit 2; }
  fi
  echo "scripts: installing $lock into .venv (hashes checked)" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  echo "$want" > ".venv/stamp-$1"
}
