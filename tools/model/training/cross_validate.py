"""Judges recipes on tweets that they have not seen: three folds of train and dev, the same ones for each recipe."""

from dataclasses import dataclass

import numpy as np

from . import scores
from .network import probabilities
from .recipe import KINDS, Job
from .tweets import LABELS
from .workspace import Workspace

FOLDS = 3


def folds(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold the rows to learn from, and those to judge by."""
    fold = np.random.default_rng(2018).permutation(count) % FOLDS
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(FOLDS)]


def jobs(workspace: Workspace, seed: int = 0) -> list[Job]:
    return [
        Job(f"fold-{index}", rows, seed)
        for index, (rows, _) in enumerate(folds(len(workspace.labelled.texts)))
    ]


@dataclass(frozen=True)
class Judged:
    """The scores of all tweets, each by the network that has not seen it, and how good they are."""

    scores: np.ndarray
    # One per label, from all tweets.
    thresholds: np.ndarray
    # One per fold: macro-F1 at 0.5, at thresholds chosen on the other folds, and micro-F1 at 0.5.
    macro: list[float]
    macro_chosen: list[float]
    micro: list[float]
    # One per label, at 0.5.
    f1: np.ndarray


def judge(workspace: Workspace, kind: str, seed: int = 0) -> Judged:
    """Of the networks of this kind, which are made if they are not there."""
    labels = workspace.labelled.labels
    found = np.zeros_like(labels)
    parts = folds(len(labels))
    for job, (_, held_out) in zip(jobs(workspace, seed), parts, strict=True):
        path = workspace.folder / job.folder(kind) / "held-out.npy"
        if not path.exists():
            model = KINDS[kind](workspace, job)
            np.save(path, probabilities(model, workspace.encode(workspace.labelled.take(held_out).texts)).numpy())
        found[held_out] = np.load(path)
    macro, chosen, micro = [], [], []
    for seen, held_out in parts:
        thresholds = scores.best_thresholds(labels[seen], found[seen])
        macro.append(scores.macro_f1(labels[held_out], found[held_out]))
        chosen.append(scores.macro_f1(labels[held_out], found[held_out], thresholds))
        micro.append(scores.micro_f1(labels[held_out], found[held_out]))
    thresholds = scores.best_thresholds(labels, found)
    return Judged(found, thresholds, macro, chosen, micro, scores.f1(labels, (found >= 0.5).astype(float)))


def table(judged: dict[str, Judged]) -> str:
    """One line per kind, then the labels."""

    def spread(values: list[float]) -> str:
        return f"{np.mean(values):.4f} ({min(values):.4f}–{max(values):.4f})"

    lines = [f"{'':12} {'macro-F1 at 0.5':26} {'… at chosen thresholds':26} micro-F1 at 0.5"]
    for kind, of in judged.items():
        lines.append(f"{kind:12} {spread(of.macro):26} {spread(of.macro_chosen):26} {spread(of.micro)}")
    lines.append("")
    lines.append(f"{'F1 at 0.5':12} " + " ".join(f"{kind:>10}" for kind in judged))
    for index, label in enumerate(LABELS):
        lines.append(f"{label:12} " + " ".join(f"{of.f1[index]:10.3f}" for of in judged.values()))
    return "\n".join(lines)
