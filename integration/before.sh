#!/usr/bin/env bash
# Prints what an upgrade to this checkout begins with, as "REF WHY", one line:
#   before.sh        the last release before this commit, else the commit before it
#   before.sh REF    that commit
# Where there is nothing before (a clone of one commit, an archive without history) REF is
# HEAD, or "-" for the files as they are, and WHY says so in capitals.
set -euo pipefail
cd "$(dirname "$0")/.."

commit() { git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null; }
named() { git log -1 --format='%h %s' "$1"; }

if [ -n "${1:-}" ]; then
  ref=$(commit "$1") || { echo "before: $1 names no commit of this repository: fetch it, or name another one" >&2; exit 1; }
  echo "$ref asked for: $(named "$ref")"
  exit
fi
head=$(commit HEAD) || {
  echo "- NO HISTORY HERE: the programs before are built from the same files"
  exit
}
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  echo "$head the commit that this work tree changes: $(named "$head")"
elif tag=$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null); then
  echo "$(commit "$tag") the release $tag"
elif parent=$(commit HEAD^); then
  echo "$parent the commit before: $(named "$parent")"
else
  echo "$head NO COMMIT BEFORE THIS ONE IN THIS CLONE (git fetch --unshallow): the programs before are built from this one"
fi
