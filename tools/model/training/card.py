"""The model card of what was trained, with the figures of this run, and the same figures for programs."""

import json
from pathlib import Path

import numpy as np

from . import scores
from .cross_validate import Judged, table

TEMPLATE = Path(__file__).with_name("card.md")


def write(folder: Path, judged: Judged, labels: np.ndarray, found: np.ndarray) -> None:
    """`labels` and `found` are the dev split's, `found` by the network itself, which has not learned from it."""
    metrics = {
        "cross_validated_macro_f1": np.mean(judged.macro_chosen),
        "cross_validated_macro_f1_at_half": np.mean(judged.macro),
        "cross_validated_micro_f1_at_half": np.mean(judged.micro),
        "dev_macro_f1": scores.macro_f1(labels, found, judged.thresholds),
        "dev_macro_f1_at_half": scores.macro_f1(labels, found),
        "dev_micro_f1": scores.micro_f1(labels, found, judged.thresholds),
        "dev_micro_f1_at_half": scores.micro_f1(labels, found),
    }
    metrics = {name: round(float(value), 4) for name, value in metrics.items()}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", "utf-8")
    text = TEMPLATE.read_text("utf-8")
    for word, value in {
        "table": table({"starter": judged}),
        "dev_macro": f"{metrics['dev_macro_f1']:.3f}",
        "dev_micro": f"{metrics['dev_micro_f1']:.3f}",
        "dev_macro_half": f"{metrics['dev_macro_f1_at_half']:.3f}",
        "dev_micro_half": f"{metrics['dev_micro_f1_at_half']:.3f}",
    }.items():
        text = text.replace(f"@{word}@", value)
    (folder / "README.md").write_text(text, "utf-8")
