#!/usr/bin/env bash
# Benchmarks against a real broker of its own, which is stopped and removed at the end.
# Arguments go to both benchmarks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'tools/kafka/kafka.sh stop --dir "$work/kafka" >/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

MOODSTREAM__KAFKA__BROKERS=$(tools/kafka/kafka.sh start --dir "$work/kafka" --port 0 --heap 1g)
export MOODSTREAM__KAFKA__BROKERS
target/release/moodstream bench pipeline "$@"
target/release/moodstream bench lane "$@"
