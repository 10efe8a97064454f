#!/usr/bin/env bash
# Benchmarks against a real broker of its own, which is stopped and removed at the end; about 15 minutes.
# Tables on standard output, the same figures as JSON in target/bench/.
# The posts are those of MOODSTREAM_TEST_POSTS, else the shared ones, else the demo's few.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

posts=${MOODSTREAM_TEST_POSTS:-../shared/data/posts/posts.jsonl}
if [ ! -f "$posts" ]; then posts=src/demo/posts.jsonl; fi

work=$(mktemp -d)
trap 'tools/kafka/kafka.sh stop --dir "$work/kafka" >/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

MOODSTREAM__KAFKA__BROKERS=$(tools/kafka/kafka.sh start --dir "$work/kafka" --port 0 --heap 1g)
export MOODSTREAM__KAFKA__BROKERS
mkdir -p target/bench
bench() { # name, arguments of `moodstream bench`
  local name=$1
  shift
  echo "== moodstream bench $*"
  target/release/moodstream bench "$@" --json "target/bench/$name.json" --set log.level=warn
  echo
}
bench lane lane "$posts" --posts 800000
bench lane-tokenize lane "$posts" --posts 300000 --tokenize
bench pipeline "$posts" --against python
bench label label "$posts"
bench latency latency "$posts" --seconds 120
bench memory memory "$posts"
bench archive archive "$posts" --against python
