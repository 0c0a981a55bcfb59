# What every piece of CI begins with: the root of the repository, a virtual environment, and how to ask for a program.
# A piece runs alone (bash .ci/lint) or, from .ci/run, in the environment of the piece before it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=${CI:-true}

work=${CI_WORK:-$(mktemp -d)}
test -n "${CI_WORK:-}" || trap 'rm -rf "$work"' EXIT

say() { printf '\n-- %s\n' "$*"; }

# need PROGRAM PACKAGE...: the packages of Debian that bring a program, where it is not there; one piece at a time.
need() {
  command -v "$1" >/dev/null && return
  shift
  local root=()
  test "$(id -u)" = 0 || root=(sudo)
  (
    flock 9
    "${root[@]}" apt-get update -qq
    "${root[@]}" apt-get install -qqy --no-install-recommends "$@" >/dev/null
  ) 9>/tmp/compuerta-ci-apt.lock
}

environment() {
  test -d "$work/venv" || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --upgrade pip; }
  . "$work/venv/bin/activate"
}

# install EXTRAS: the package with these extras; what is installed already is not built again.
install() {
  if pip show -q compuerta 2>/dev/null; then pip install -q "compuerta[$1]"; else pip install -q ".[$1]"; fi
}

# The README's commands, which it must say as they stand here.
main='pip install . && compuerta demo'
tests='pip install ".[test]" && python -m pytest'
