#!/usr/bin/env bash
# Builds versitygw, the S3 server of the tests (Apache-2.0), to .deps/versitygw/ from the Go modules that
# tools/s3-server/go.mod pins; Go checks each against go.sum there. 3 minutes on two cores, once.
#
# Does nothing when it is there. Without a network: fill Go's module cache by hand, or leave the tests
# on a real S3 server out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/verified.sh

folder=.deps/versitygw
pinned=$(sha256_of tools/s3-server/go.sum)

if [ -x "$folder/versitygw" ] && [ "$(cat "$folder/of" 2>/dev/null)" = "$pinned" ]; then
  echo "s3 server: $folder is there"
  exit 0
fi

tools/check-prerequisites.sh --s3 >/dev/null 2>&1 ||
  die "Go is missing or too old; make setup tells how to install it"
mkdir -p .deps
find .deps -maxdepth 1 -name '.versitygw.*' -mmin +120 -exec rm -rf {} + # left by a killed run
work=$(mktemp -d .deps/.versitygw.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "s3 server: building versitygw (3 minutes)"
# No other version of Go, and none of the caller's wishes for other modules.
GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 \
  go -C tools/s3-server build -trimpath -ldflags '-s -w' -o "$PWD/$work/versitygw" \
  github.com/versity/versitygw/cmd/versitygw ||
  die "versitygw could not be built; check the network"
echo "$pinned" >"$work/of"
publish "$work" "$folder"
echo "s3 server: $folder"
