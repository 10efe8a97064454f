#!/usr/bin/env bash
# Names what a clone needs and this machine lacks, one line each, with the command that installs it.
#
#   tools/check-prerequisites.sh                 Java, Maven, a browser and Go may be missing: only a note
#   tools/check-prerequisites.sh --real-broker   Java and Maven may not
#   tools/check-prerequisites.sh --browser       a browser may not
#   tools/check-prerequisites.sh --s3            Go may not
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

broker_tools=note browser=note go=note
for option in "$@"; do
  case "$option" in
    --real-broker) broker_tools=missing ;;
    --browser) browser=missing ;;
    --s3) go=missing ;;
    *) echo "check-prerequisites.sh: unknown option '$option'" >&2 && exit 2 ;;
  esac
done
missing=0

# missing|note WHAT DEBIAN MACOS
missing() {
  missing=$((missing + 1))
  echo "missing: $1. Install it with: $2 (Debian, Ubuntu) or $3 (macOS)" >&2
}
note() { echo "note: no $1, so the ${4-real-broker tests} cannot run here. Install it with: $2 (Debian, Ubuntu) or $3 (macOS)"; }

works() { "$@" >/dev/null 2>&1; }

if ! works cargo --version || ! works rustc --version; then
  rust_version=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  missing "Rust $rust_version (cargo, rustc)" "apt-get install rustup && rustup toolchain install $rust_version" "brew install rustup && rustup toolchain install $rust_version"
fi
works cc --version || missing "a C compiler (cc)" "apt-get install gcc libc6-dev" "xcode-select --install"
works c++ --version || missing "a C++ compiler (c++)" "apt-get install g++" "xcode-select --install"
works make --version || missing "make" "apt-get install make" "xcode-select --install"
# OpenSSL's build uses these modules; a minimal perl has not got them.
works perl -MFindBin -MIPC::Cmd -MFile::Compare -e 1 || missing "perl with its standard modules" "apt-get install perl" "brew install perl"
if ! works python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
  missing "Python 3.8 or later (python3)" "apt-get install python3 python3-pip" "brew install python"
elif ! works python3 -m pip --version; then
  missing "pip (python3 -m pip)" "apt-get install python3-pip" "brew install python"
fi

# "17" out of: openjdk version "17.0.15" 2025-04-15
java_major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || true
if [ "${java_major:-0}" -lt 17 ]; then
  "$broker_tools" "Java 17 or later (java)" "apt-get install openjdk-17-jre-headless" "brew install openjdk"
fi
works mvn --version || "$broker_tools" "Maven (mvn)" "apt-get install maven" "brew install maven"

# The names that tests/embedded/browser.rs looks for.
has_browser() {
  local name
  for name in "${MOODSTREAM_BROWSER-}" chromium-headless-shell chromium chromium-browser google-chrome \
    google-chrome-stable "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then return 0; fi
  done
  return 1
}
has_browser || "$browser" "Chromium (or MOODSTREAM_BROWSER, its path)" "apt-get install chromium" "brew install --cask chromium" "tests of status page and report"

# What tools/s3-server/go.mod asks for: "25" out of go version go1.25.3 linux/amd64.
go_wanted=$(sed -n 's/^go 1\.\([0-9]*\).*/\1/p' tools/s3-server/go.mod)
go_minor=$(GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p') || true
if [ "${go_minor:-0}" -lt "$go_wanted" ]; then
  "$go" "Go 1.$go_wanted or later (go)" "apt-get install golang-go, or from go.dev/dl where that is older" "brew install go" "tests on a real S3 server"
fi

if [ "$missing" -gt 0 ]; then exit 1; fi
