"""How a classifier is made of labelled tweets: teachers by the published objective, and one student of all of them.

The student learns the labels, what its teachers say of the same tweets, and what they say of tweets that nobody has
labelled: an ensemble's judgement in one small network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from emoaxis.modeling_emoaxis import EmoAxisModel

from . import tweets
from .batches import Encoded
from .finetune import Lesson, finetune
from .network import probabilities
from .workspace import Workspace

TEACHERS = 2
TEACHER_EPOCHS = 8
# Passes of the student over the labelled tweets, spread over one pass over those without labels.
STUDENT_REPEATS = 4
UNLABELLED = 30_000


@dataclass(frozen=True)
class Job:
    """One network to train: what may be learned from, who is trained, by which chance."""

    # Names the stage, such as `fold-0`.
    name: str
    # Rows of train and dev together.
    rows: np.ndarray
    seed: int = 0

    def folder(self, kind: str) -> str:
        return f"{self.name}/{kind}-{self.seed}"


def lesson(workspace: Workspace, rows: np.ndarray, intensity: bool) -> Lesson:
    """The labels of these tweets, and with `intensity` how strong some of their emotions are."""
    chosen = workspace.labelled.take(rows)
    strengths = unknown(len(rows), len(tweets.DIMENSIONS))
    if intensity:
        known = {tweets.key(text): scores for text, scores in zip(*workspace.intensity, strict=True)}
        for row, text in enumerate(chosen.texts):
            strengths[row] = known.get(tweets.key(text), strengths[row])
    return Lesson(workspace.encode(chosen.texts), chosen.labels, strengths, unknown(*chosen.labels.shape))


def unknown(rows: int, columns: int) -> np.ndarray:
    return np.full((rows, columns), np.nan, np.float32)


def published(workspace: Workspace, job: Job) -> EmoAxisModel:
    """The published objective and nothing else: what the student has to beat."""
    return _finetuned(workspace, job, "published", intensity=False)


def teacher(workspace: Workspace, job: Job) -> EmoAxisModel:
    """The published objective, and intensity beside it."""
    return _finetuned(workspace, job, "teacher", intensity=True)


def _finetuned(workspace: Workspace, job: Job, kind: str, *, intensity: bool) -> EmoAxisModel:
    def make() -> EmoAxisModel:
        model = workspace.pretrained()
        known = lesson(workspace, job.rows, intensity)
        finetune(model, known, TEACHER_EPOCHS, job.seed, workspace.journal, job.folder(kind))
        return model

    return workspace.stage(job.folder(kind), make)


def taught(workspace: Workspace, job: Job, texts: Encoded) -> np.ndarray:
    """The mean score of the teachers."""
    teachers = [teacher(workspace, Job(job.name, job.rows, seed)) for seed in range(TEACHERS)]
    return torch.stack([probabilities(model, texts) for model in teachers]).mean(0).numpy()


def student(workspace: Workspace, job: Job) -> EmoAxisModel:
    """One network that has learned from the teachers and from the labels."""

    def make() -> EmoAxisModel:
        known = lesson(workspace, job.rows, intensity=True)
        strangers = workspace.unlabelled(UNLABELLED)
        texts = workspace.encode(workspace.labelled.take(job.rows).texts * STUDENT_REPEATS + strangers)
        scores = taught(workspace, job, known.texts.join(texts.last(len(strangers))))
        count = len(known.texts)
        whole = Lesson(
            texts,
            _stack(known.labels, len(strangers)),
            _stack(known.intensity, len(strangers)),
            np.concatenate([np.tile(scores[:count], (STUDENT_REPEATS, 1)), scores[count:]]),
        )
        model = workspace.pretrained()
        finetune(model, whole, 1, job.seed, workspace.journal, job.folder("student"))
        return model

    return workspace.stage(job.folder("student"), make)


def _stack(values: np.ndarray, strangers: int) -> np.ndarray:
    repeated = np.tile(values, (STUDENT_REPEATS, 1))
    return np.concatenate([repeated, unknown(strangers, values.shape[1])])


Maker = Callable[[Workspace, Job], EmoAxisModel]
KINDS: dict[str, Maker] = {"published": published, "teacher": teacher, "student": student}
