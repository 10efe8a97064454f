"""Trains the starter model: python -m training train | cross-validate --data FOLDER --work FOLDER

train           the checkpoint of the starter model, in WORK/starter, and its curve, in WORK/curve.svg
cross-validate  what the recipe is worth: its macro-F1 on three folds, beside the published objective alone

Both go on where they were stopped. They learn from SemEval-2018 E-c and the other tweets that DATA holds; see
docs/models.md.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import curve
from .cross_validate import jobs, judge, table
from .recipe import KINDS, TEACHERS, Job, student
from .run import quiet, run
from .workspace import Workspace


def main() -> None:
    arguments = argparse.ArgumentParser(prog="training", description="train the starter model")
    arguments.add_argument("what", choices=["train", "cross-validate"])
    arguments.add_argument("--data", type=Path, required=True, help="the folder with semeval2018-ec and pretrain")
    arguments.add_argument("--work", type=Path, required=True, help="keeps finished stages")
    arguments.add_argument(
        "--kinds", default="published,student", help=f"of cross-validate: {', '.join(KINDS)} (published,student)"
    )
    options = arguments.parse_args()
    unknown = set(options.kinds.split(",")) - set(KINDS)
    if unknown:
        arguments.error(f"--kinds {options.kinds}: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    if not (options.data / "semeval2018-ec" / "train.txt").is_file():
        arguments.error(f"--data {options.data}: there is no semeval2018-ec/train.txt")
    quiet()
    began = time.monotonic()
    workspace = Workspace(options.work, options.data)
    workspace.pretrained()
    if options.what == "train":
        train(workspace, options.work, options.data)
    else:
        cross_validate(workspace, options.work, options.data, options.kinds.split(","))
    print(f"{(time.monotonic() - began) / 60:.0f} min", file=sys.stderr)


def cross_validate(workspace: Workspace, folder: Path, data: Path, kinds: list[str]) -> None:
    """Prints a table."""
    run_in_turn(workspace, folder, data, {kind: jobs(workspace) for kind in kinds})
    print(table({kind: judge(workspace, kind) for kind in kinds}))


def run_in_turn(workspace: Workspace, folder: Path, data: Path, kinds: dict[str, list[Job]]) -> None:
    """Teachers first, because students need them."""
    seeds = [("teacher", replace(job, seed=seed)) for job in kinds.get("student", []) for seed in range(TEACHERS)]
    run(folder, data, seeds)
    run(folder, data, [(kind, job) for kind, of in kinds.items() for job in of])


def train(workspace: Workspace, folder: Path, data: Path) -> None:
    """Learns from the training split; thresholds come from tweets that a network of the same recipe had not seen."""
    final = Job("final", np.arange(len(workspace.train.texts)))
    run_in_turn(workspace, folder, data, {"student": [*jobs(workspace), final]})
    judged = judge(workspace, "student")
    print(table({"student": judged}))
    model = student(workspace, final)
    model.config.thresholds = [float(value) for value in judged.thresholds]
    starter = folder / "starter"
    shutil.rmtree(starter, ignore_errors=True)
    workspace.save(model, starter)
    curve.draw(workspace.journal, folder / "curve.svg")
    print(json.dumps(dict(zip(model.config.id2label.values(), model.config.thresholds, strict=True))))
    print(f"{starter}: the checkpoint; make model MODEL={starter} PRECISION=int8 makes its bundle")


if __name__ == "__main__":
    main()
