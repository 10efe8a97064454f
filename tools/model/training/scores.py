"""Figures of multi-label classification, and thresholds that make them large."""

import numpy as np

GRID = np.arange(0.20, 0.801, 0.01)
RESAMPLED = 40


def f1(labels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """One per label: 2 · right / (labelled + given); 0 where there is neither."""
    right = (labels * given).sum(0)
    total = labels.sum(0) + given.sum(0)
    return np.divide(2 * right, total, out=np.zeros(len(right)), where=total > 0)


def macro_f1(labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray | float = 0.5) -> float:
    """The mean of the labels' F1."""
    return float(f1(labels, (scores >= thresholds).astype(float)).mean())


def micro_f1(labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray | float = 0.5) -> float:
    """F1 of all labels as if they were one."""
    given = (scores >= thresholds).astype(float)
    return float(2 * (labels * given).sum() / max(1.0, labels.sum() + given.sum()))


def best_thresholds(labels: np.ndarray, scores: np.ndarray, seed: int = 0) -> np.ndarray:
    """One per label: the mean of those that give the best F1 on resampled posts, so that no single post decides."""
    random = np.random.default_rng(seed)
    found = np.zeros(labels.shape[1])
    for _ in range(RESAMPLED):
        rows = random.integers(0, len(labels), len(labels))
        curves = [f1(labels[rows], (scores[rows] >= threshold).astype(float)) for threshold in GRID]
        found += GRID[np.argmax(curves, axis=0)]
    return np.round(found / RESAMPLED, 2)
