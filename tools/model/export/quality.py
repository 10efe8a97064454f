"""What a precision costs: python -m export.quality FP32_BUNDLE OTHER_BUNDLE TEXTS

Both bundles score every text of a file (a labelled table as SemEval-2018 E-c has it, or any that texts.py reads): how
far the scores are apart, how many labels agree, F1 of both where the file has labels; and whether another batch order
or padding moves a score of the second.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from . import texts
from .running import Bundle

# DESIGN's limits for int8.
MEAN, AGREEMENT, MOVED = 0.006, 0.99, 1e-6


def f1(given: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Macro and micro."""
    both, either = (given & wanted).sum(0), given.sum(0) + wanted.sum(0)
    return float((2 * both / np.maximum(either, 1)).mean()), float(2 * both.sum() / max(either.sum(), 1))


def moved(found: Bundle, sequences: list[list[int]], scores: np.ndarray) -> tuple[float, int]:
    """By another order, which is other neighbours and other padding: the largest change, and labels flipped."""
    order = np.random.default_rng(7).permutation(len(sequences)).tolist()
    other = found.in_order(sequences, order)
    return float(np.abs(other - scores).max()), int((found.labels(other) != found.labels(scores)).sum())


def main() -> int:
    arguments = argparse.ArgumentParser(prog="export.quality", description="compare a bundle with its fp32 one")
    arguments.add_argument("fp32", type=Path)
    arguments.add_argument("other", type=Path)
    arguments.add_argument("texts", type=Path)
    options = arguments.parse_args()
    exact, other = Bundle(options.fp32), Bundle(options.other)
    with options.texts.open(encoding="utf-8") as file:
        has_labels = file.readline().startswith("ID\tTweet\t")
    if has_labels:
        given, rows, names = texts.labelled(options.texts)
        if names != exact.manifest["labels"]:
            print(f"error: the file's labels are {names}, the bundle's {exact.manifest['labels']}", file=sys.stderr)
            return 1
    else:
        given = [text for text in texts.read(options.texts) if text.strip()]
    sequences = other.ids(given)
    expected, scores = exact.sorted(sequences), other.sorted(sequences)
    difference, agree = np.abs(scores - expected), (exact.labels(expected) == other.labels(scores)).mean()
    print(f"{len(given)} texts: scores differ by {difference.mean():.4f} on average, {difference.max():.3f} at most; {agree:.2%} of the labels agree")
    if has_labels:
        wanted = np.array(rows, bool)
        for name, labels in [("fp32", exact.labels(expected)), (other.manifest["precision"], other.labels(scores))]:
            macro, micro = f1(labels, wanted)
            print(f"{name}: macro-F1 {macro:.3f}, micro-F1 {micro:.3f}")
    most, flips = moved(other, sequences, scores)
    print(f"another batch order: no score moves by more than {most:.1e}, {flips} labels flip")
    return 0 if difference.mean() <= MEAN and agree >= AGREEMENT and most <= MOVED and flips == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
