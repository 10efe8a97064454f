#!/usr/bin/env bash
# Runs the tests: all of them where Java and Maven are there, else all but the real-broker tests,
# and then says so in its last line. MOODSTREAM_REQUIRE_KAFKA=1 makes their absence an error. Without a
# Chromium the tests of the status page and the report are left out in the same way; MOODSTREAM_REQUIRE_BROWSER=1 insists;
# without Go those on a real S3 server, and MOODSTREAM_REQUIRE_S3=1 insists; where they cannot be installed,
# the test with other programs that read Parquet, and MOODSTREAM_REQUIRE_READERS=1 insists; those of training and
# export run where `make model-environment` was, and MOODSTREAM_REQUIRE_MODEL_TESTS=1 makes it.
# Arguments go to `cargo test`. The soak tests are `make soak`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/fetch-onnxruntime.sh

left_out=
if tools/check-prerequisites.sh --real-broker >/dev/null 2>&1; then
  tools/fetch-kafka.sh
elif [ "${MOODSTREAM_REQUIRE_KAFKA-}" = 1 ]; then
  tools/check-prerequisites.sh --real-broker ||
    echo "test.sh: MOODSTREAM_REQUIRE_KAFKA is set, so the real-broker tests may not be left out" >&2
  exit 1
else
  left_out="the real-broker tests (cargo test --test kafka): they need Java 17 and Maven; make setup tells how to install them"
fi

# Where it cannot be built, its tests pass without it.
s3_left_out=
if ! tools/check-prerequisites.sh --s3 >/dev/null 2>&1; then
  s3_left_out="the tests on a real S3 server: they need Go; make setup tells how to install it"
elif ! tools/fetch-s3-server.sh; then
  s3_left_out="the tests on a real S3 server: it could not be built"
fi
if [ -n "$s3_left_out" ] && [ "${MOODSTREAM_REQUIRE_S3-}" = 1 ]; then
  echo "test.sh: MOODSTREAM_REQUIRE_S3 is set, but $s3_left_out" >&2
  exit 1
fi

readers=yes
make --no-print-directory readers || readers=

selected=(--lib --bins)
for file in tests/*.rs tests/*/main.rs; do
  [ -f "$file" ] || continue
  name=${file#tests/}
  name=${name%/main.rs}
  name=${name%.rs}
  case "$name" in
    soak) continue ;;
    kafka | kafka_*) if [ -n "$left_out" ]; then continue; fi ;;
  esac
  selected+=(--test "$name")
done

# Most of these tests wait: more threads than cores.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
# All of them, even after one has failed: a run takes long enough to be read whole.
cargo test --locked --no-fail-fast --features fault-injection "${selected[@]}" "$@"
cargo test --locked --features fault-injection --doc "$@"

# Training and export, in Python, where their 5 GB are there or asked for; with arguments, which are cargo's, it is
# Rust that is meant.
models_left_out=
if [ $# -eq 0 ]; then
  if [ "${MOODSTREAM_REQUIRE_MODEL_TESTS-}" = 1 ] || [ -f .deps/model-training/ready ]; then
    make --no-print-directory model-test
  else
    models_left_out=yes
  fi
fi
if [ -n "$left_out" ]; then echo "left out: $left_out"; fi
if [ -n "$s3_left_out" ]; then echo "left out: $s3_left_out"; fi
if [ -n "$models_left_out" ]; then
  echo "left out: the tests of training and export: make model-environment installs what they need (5 GB)"
fi
if ! tools/check-prerequisites.sh --browser >/dev/null 2>&1; then
  echo "left out: the tests of status page and report in a browser: they need Chromium; make setup tells how to install it"
fi
if [ -z "$readers" ]; then
  echo "left out: the test with DuckDB, Polars, pandas and pyarrow: make readers could not install them"
fi
