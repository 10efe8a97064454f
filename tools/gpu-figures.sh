#!/usr/bin/env bash
# Takes the figures of docs/gpu.md: tools/gpu-figures.sh [models|verify|budgets|sessions|pipeline|memory]…
#
# Without a step: all of them, about 12 minutes. Needs `make build`, `make gpu` and `make model-environment`; no Kafka.
# A step that fails is told, and the next one runs. Bundles, JSON and logs lie in target/gpu-figures; the table at the end is made of all JSON there.
#
#   POSTS         JSON lines with posts (default: as tools/bench.sh)
#   SECONDS_EACH  of a measurement (10)
#   PROVIDER      cuda; cpu rehearses the script
#   LAYERS        of roberta-base (12)
#   BUDGETS       padded tokens of a micro-batch to try
#   LANES         worker.lanes (half the cores)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

posts=${POSTS:-${MOODSTREAM_TEST_POSTS:-../shared/data/posts/posts.jsonl}}
if [ ! -f "$posts" ]; then posts=src/demo/posts.jsonl; fi
seconds=${SECONDS_EACH:-10} provider=${PROVIDER:-cuda} lanes=${LANES:-$((($(nproc) + 1) / 2))} layers=${LAYERS:-12}
read -r -a budgets <<<"${BUDGETS:-8192 16384 32768 65536}"
python=${PYTHON:-$PWD/.deps/model-training/bin/python} program=${MOODSTREAM:-target/release/moodstream}
work=target/gpu-figures
mkdir -p "$work"
rm -f "$work/failed"

tell() { # what, command: its output, the last of it when it fails, and how long it took
  local what=$1 started=$SECONDS output
  shift
  if output=$("$@" 2>&1); then
    output=$(tail -n 40 <<<"$output")
  else
    touch "$work/failed"
    output="FAILED: $*"$'\n'$(tail -n 15 <<<"$output")
  fi
  printf '== %s (%s s)\n%s\n\n' "$what" $((SECONDS - started)) "$output"
}
moodstream() { "$program" "$@" --set "inference.provider=$provider" --set log.level=warn; }
bench() { # name, bundle, arguments of `bench`
  local name=$1 bundle=$2
  shift 2
  tell "$name" moodstream bench "$@" --model "$bundle" --seconds "$seconds" --json "$work/$name.json"
}

models() {
  local precision
  rm -rf "$work"/roberta-checkpoint "$work"/{starter,roberta}-{fp32,fp16}
  tell "roberta-base's checkpoint" "$python" tools/model/random_checkpoint.py emoaxis "$work/roberta-checkpoint" \
    --layers "$layers" --texts "$posts"
  for precision in fp32 fp16; do
    export PYTHONPATH=tools/model
    tell "starter-$precision" "$python" -m export models/starter --precision $precision --out "$work/starter-$precision" &
    tell "roberta-$precision" "$python" -m export "$work/roberta-checkpoint" --precision $precision \
      --out "$work/roberta-$precision" &
  done
  wait
}

verify() {
  local bundle
  for bundle in models/starter "$work"/*-fp32 "$work"/*-fp16; do
    tell "verify $bundle" moodstream model verify --model "$bundle"
  done
}

# By `bench label`, which needs no broker and little time.
budgets() {
  local model budget
  for model in starter-fp16 roberta-fp16; do
    for budget in "${budgets[@]}"; do
      bench "budget-$model-$budget" "$work/$model" label "$posts" --set "inference.token_budget=$budget" \
        --set "worker.lanes=$lanes"
    done
  done
}

sessions() {
  local model count
  for model in starter-fp16 roberta-fp16; do
    for count in 1 2; do
      bench "sessions-$model-$count" "$work/$model" "$posts" --embedded --set "inference.sessions=$count" \
        --set "worker.lanes=$lanes"
    done
  done
}

pipeline() {
  local model
  for model in starter-fp32 starter-fp16 roberta-fp32 roberta-fp16; do
    bench "pipeline-$model" "$work/$model" "$posts" --embedded --set "worker.lanes=$lanes"
  done
}

# More than fits at once: every line must be labelled all the same, and a warning must tell.
memory() {
  head -n 20000 "$posts" >"$work/some.jsonl"
  short() { # limit
    moodstream label "$work/some.jsonl" --out "$work/labelled.jsonl" --overwrite --model "$work/roberta-fp16" \
      --set "inference.gpu_memory=$1" --set inference.token_budget=131072 --set batch.max_posts=8192 \
      --set input.other_languages=label
    local code=$?
    echo "exit code $code, $(wc -l <"$work/some.jsonl") lines, $(wc -l <"$work/labelled.jsonl") labelled"
    return $code
  }
  tell "memory: a limit that the micro-batches exceed" short 700MB
  tell "memory: less than the weights, which must be refused" bash -c "! \"\$@\"" _ \
    "$program" model verify --model "$work/roberta-fp16" --set "inference.provider=$provider" --set inference.gpu_memory=50MB
}

for step in "${@:-all}"; do
  case $step in
    all) for each in models verify budgets sessions pipeline memory; do "$each"; done ;;
    models | verify | budgets | sessions | pipeline | memory) "$step" ;;
    *) echo "unknown step '$step'" >&2 && exit 2 ;;
  esac
done

"$python" - "$work" <<'PYTHON'
import json, sys
from pathlib import Path
rows = []
for file in sorted(Path(sys.argv[1]).glob("*.json")):
    figures = json.loads(file.read_text())
    alone = sum(figures["baseline"]) / 2
    gpu = figures.get("baseline_gpu")
    row = {"name": file.stem, "budget": figures["model"]["token_budget"], "sessions": figures["model"]["sessions"],
           "tokens": figures["tokens_per_post"], "alone": alone, "gpu_alone": gpu and gpu["utilisation"]}
    if "pipeline" in figures:
        round = figures["pipeline"][0]
        row |= {"whole": round["posts_per_second"], "gpu_whole": round["gpu"] and round["gpu"]["utilisation"]}
    else:
        row |= {"whole": figures["lines_per_second"], "gpu_whole": None}
    rows.append(row | {"ratio": figures["ratio"]})
share = lambda value: "-" if value is None else f"{value * 100:.0f} %"
print(f"\n{'':<30}{'budget':>8}{'sessions':>9}{'tokens':>7}{'alone':>9}{'GPU':>6}{'whole':>9}{'GPU':>6}{'ratio':>7}")
for row in rows:
    print(f"{row['name']:<30}{row['budget']:>8}{row['sessions']:>9}{row['tokens']:>7.1f}{row['alone']:>9.0f}"
          f"{share(row['gpu_alone']):>6}{row['whole']:>9.0f}{share(row['gpu_whole']):>6}{row['ratio']:>7.3f}")
print("\nposts/s; `whole` is `label` from file to file for budget-…, else the pipeline on an embedded broker")
PYTHON
test ! -e "$work/failed"
