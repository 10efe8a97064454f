"""PyTorch against a bundle: python -m export.parity CHECKPOINT BUNDLE [--texts FILE] [--count 2000] --out FILE

Writes PyTorch's scores, one line of {"text": …, "scores": […]} per text, for the worker to compare with its own
(`moodstream model verify --model BUNDLE --against FILE --max 1e-5`), and compares ONNX Runtime's under Python.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

import bundle

from . import checkpoint, texts
from .__main__ import PARITY, torch_scores
from .refusal import Refused
from .running import Bundle


def main() -> int:
    arguments = argparse.ArgumentParser(prog="export.parity", description="compare PyTorch with a bundle")
    arguments.add_argument("checkpoint")
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("--texts", type=Path, help="JSON lines, a table, or a text per line (the project's own)")
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--out", type=Path, help="where PyTorch's scores go")
    arguments.add_argument("--max", type=float, default=PARITY, help="largest difference of a score")
    arguments.add_argument("--trust-code", action="store_true")
    arguments.add_argument("--multi-label", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    checkpoint.quiet()
    try:
        source = checkpoint.load(options.checkpoint, checkpoint.Options(None, options.trust_code, options.multi_label))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given = texts.read(options.texts) if options.texts else texts.varied(options.count)
    given = list(dict.fromkeys(text for text in given if text.strip()))[: options.count]
    found = Bundle(options.bundle)
    sequences = found.ids(given)
    expected, since = [], time.monotonic()
    for at in range(0, len(given), 100):
        expected.append(torch_scores(source, sequences[at : at + 100]))
        print(f"\rPyTorch: {min(at + 100, len(given))} of {len(given)} texts, {time.monotonic() - since:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    expected = np.concatenate(expected)
    if options.out:
        lines = [json.dumps({"text": t, "scores": bundle.decimals(s)}, ensure_ascii=False) for t, s in zip(given, expected)]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(("\n".join(lines) + "\n").encode())
    scores = found.sorted(sequences)
    most = float(np.abs(scores - expected).max())
    flips = int((found.labels(scores) != found.labels(expected)).sum())
    print(f"{len(given)} texts: scores differ by {np.abs(scores - expected).mean():.2e} on average, {most:.2e} at most; {flips} labels differ")
    if options.out:
        print(f"in the worker: moodstream model verify --model {options.bundle} --against {options.out} --max {options.max:g}")
    return 0 if most <= options.max and flips == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
