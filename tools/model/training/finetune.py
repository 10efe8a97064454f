"""Learns the emotions by the published objective, and what else is known about the same tweets."""

from dataclasses import dataclass

import numpy as np
import torch
from emoaxis.modeling_emoaxis import EmoAxisModel
from torch import nn
from torch.nn import functional

from .batches import Encoded
from .network import half, scaled
from .objective import DESCRIPTIONS, asymmetric, similarity
from .progress import Journal, Progress
from .schedule import Schedule
from .tweets import DIMENSIONS

BATCH = 32
RATE, HEAD_RATE = 1e-4, 5e-4
EPOCHS = 8
# How much a squared error of intensity (0 to 1) counts beside the objective.
INTENSITY_WEIGHT = 4.0


@dataclass(frozen=True)
class Lesson:
    """Texts, and what is to be learned of each; NaN: nothing is known."""

    texts: Encoded
    labels: np.ndarray
    intensity: np.ndarray
    # What teachers say, one score per label.
    taught: np.ndarray


def finetune(model: EmoAxisModel, lesson: Lesson, epochs: int, seed: int, journal: Journal, stage: str) -> None:
    """So many passes over the lesson's texts."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    descriptions = Encoded(lesson.texts.tokenizer, DESCRIPTIONS)
    descriptions = descriptions.batch(np.arange(len(DESCRIPTIONS)))
    intensities = nn.Linear(model.config.encoder.hidden_size, len(DIMENSIONS))
    steps = epochs * lesson.texts.steps(BATCH)
    schedule = Schedule(model.encoder, [model.classifier, intensities], RATE, HEAD_RATE, steps)
    progress = Progress(stage, steps, journal)
    model.train()
    for _ in range(epochs):
        for batch in lesson.texts.shuffled(BATCH, random):
            with half():
                posts, logits = model(batch.input_ids, batch.attention_mask)
                emotions = model.embed(descriptions.input_ids, descriptions.attention_mask)
            posts, logits = posts.float(), logits.float()
            labels, known = _known(lesson.labels, batch.rows)
            loss = 0.5 * (similarity(posts, emotions.float(), labels) + asymmetric(logits, labels))[known.any(-1)].sum()
            taught, known = _known(lesson.taught, batch.rows)
            loss += (functional.binary_cross_entropy_with_logits(logits, taught, reduction="none") * known).sum()
            strengths, known = _known(lesson.intensity, batch.rows)
            error = (intensities(scaled(posts)).sigmoid() - strengths).square()
            loss += INTENSITY_WEIGHT * (error * known).sum()
            loss /= len(batch.rows)
            schedule.step(loss)
            progress.step(loss.item(), len(batch.rows))


def _known(values: np.ndarray, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows' values, 0 for what is not known, and which are."""
    chosen = torch.from_numpy(values[rows])
    known = ~chosen.isnan()
    return chosen.nan_to_num(), known
