#!/usr/bin/env bash
# Asks the archive's contract of Azurite, Azure's emulator (Node.js), which is fetched to .deps/azurite/. By hand:
# `make test` leaves it out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/verified.sh

folder=.deps/azurite
command -v npm >/dev/null || die "npm is missing: apt-get install npm (Debian) or brew install node (macOS)"
npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --silent azurite@3.35.0 @azure/storage-blob@12.32.0

"$folder/node_modules/.bin/azurite-blob" --silent --disableTelemetry --inMemoryPersistence --skipApiVersionCheck \
  --blobHost 127.0.0.1 --blobPort 10000 >"$folder/log" 2>&1 &
emulator=$!
trap 'kill "$emulator"' EXIT

# The emulator's account and key are known to everyone, its client's name for them is this.
NODE_PATH="$folder/node_modules" node -e '
  const { BlobServiceClient } = require("@azure/storage-blob");
  const archive = BlobServiceClient.fromConnectionString("UseDevelopmentStorage=true").getContainerClient("archive");
  archive.createIfNotExists().catch((error) => { console.error(error.message); process.exit(1); });'
MOODSTREAM_AZURITE=1 cargo test --locked --features fault-injection --lib -- archive::store::azure_tests
