#!/usr/bin/env bash
# Fetches Apache Kafka's jars by their Maven coordinates (tools/kafka/pom.xml) to .deps/kafka/libs/
# and checks each against tools/kafka/SHA256SUMS. For the local broker of tools/kafka/kafka.sh.
#
# Does nothing when they are there and intact. Without a network: put the jars that SHA256SUMS
# names in .deps/downloads/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/verified.sh

folder=.deps/kafka/libs
sums=tools/kafka/SHA256SUMS

# All of them, and nothing else: the broker's class path is the whole folder.
intact() { [ "$(find "$1" -type f 2>/dev/null | wc -l)" -eq "$(wc -l <"$sums")" ] && matches_sums "$1" "$sums"; }

if intact "$folder"; then
  echo "kafka: $folder is there and intact"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is missing: apt-get install python3 (Debian) or brew install python (macOS)"
mkdir -p .deps/downloads .deps/kafka
find .deps -maxdepth 1 -name '.kafka.*' -mmin +120 -exec rm -rf {} + # left by a killed run
work=$(mktemp -d .deps/.kafka.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Jars put there by hand go first.
mkdir "$work/libs"
while read -r _ jar; do
  if [ -f ".deps/downloads/$jar" ]; then cp ".deps/downloads/$jar" "$work/libs/"; fi
done <"$sums"

if ! intact "$work/libs"; then
  rm -rf "$work/libs"
  by_hand="or put the jars that $sums names in .deps/downloads/"
  command -v mvn >/dev/null || die "Maven is missing: apt-get install maven (Debian) or brew install maven (macOS), $by_hand"
  echo "kafka: fetching $(wc -l <"$sums" | tr -d ' ') jars (43 MB)"
  mvn -B --file tools/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$PWD/$work/libs" >"$work/log" 2>&1 &
  maven=$!
  trap 'kill "$maven" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$maven" 2>/dev/null; do
    if [ -t 1 ]; then printf '\rkafka: %s files downloaded ' "$(grep -c 'Downloaded from' "$work/log" || true)"; fi
    sleep 0.2
  done
  if [ -t 1 ]; then echo; fi
  wait "$maven" ||
    die "Maven could not fetch Kafka ($(grep -m 1 'ERROR' "$work/log" | sed 's/.*ERROR[^ ]* //' | cut -c1-200)); check the network, $by_hand"
  intact "$work/libs" || die "Maven fetched other jars than $sums says; the copy was thrown away, $by_hand"
fi

publish "$work/libs" "$folder"
intact "$folder" || die "$folder is not what was fetched; remove it and try again"
echo "kafka: $folder"
