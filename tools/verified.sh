# shellcheck shell=bash
# Folders of fetched files that are either complete and verified or absent. Sourced by the fetch
# scripts. Such a folder holds a SHA256SUMS file; it is filled under another name and renamed into
# place, so that an interrupted fetch leaves nothing that looks finished.

# One line on standard error, then the end.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# sha256_of FILE: the digest in hex.
sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d' ' -f1
}

# matches_sums FOLDER SUMS: every file named in SUMS ("<sha256>  <name>" per line) is in FOLDER,
# with that content.
matches_sums() {
  local digest name
  [ -s "$2" ] || return 1
  while read -r digest name; do
    [ -f "$1/$name" ] && [ "$(sha256_of "$1/$name")" = "$digest" ] || return 1
  done <"$2"
}

# publish NEW FINAL: puts the filled folder NEW in FINAL's place. When another process has put one
# there meanwhile, that one stays: both were verified.
publish() {
  python3 - "$1" "$2" <<'PYTHON'
import os, shutil, sys
new, final = sys.argv[1:]
old = new + ".old"
try:
    os.rename(final, old)
except FileNotFoundError:
    pass
try:
    os.rename(new, final)
except OSError:
    if not os.path.isdir(final):
        raise
shutil.rmtree(old, ignore_errors=True)
PYTHON
}
