"""The training curve as a picture, from the journal of a run."""

from collections import defaultdict
from pathlib import Path

import matplotlib

from .progress import Journal

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402


def draw(journal: Journal, path: Path) -> None:
    """One small chart a stage: loss over batches."""
    stages: dict[str, dict[int, float]] = defaultdict(dict)
    for entry in journal.entries():
        # A stage that was begun again writes its batches again.
        stages[entry["stage"]][entry["step"]] = entry["loss"]
    columns = 3
    rows = -(-len(stages) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 2.2 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(stages) :]:
        axis.set_visible(False)
    for axis, (stage, losses) in zip(axes.flat, stages.items(), strict=False):
        steps = sorted(losses)
        axis.plot(steps, [losses[step] for step in steps], linewidth=1.2)
        axis.set_title(stage, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    figure.supxlabel("batches", fontsize=8)
    figure.supylabel("loss, smoothed", fontsize=8)
    figure.savefig(path)
