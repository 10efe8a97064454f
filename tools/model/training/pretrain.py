"""Before it learns emotions, the encoder learns tweets: their sentiment, and the emoji that was taken out of them."""

import numpy as np
import torch
from emoaxis.modeling_emoaxis import EmoAxisModel
from torch import nn
from torch.nn import functional

from .batches import Encoded
from .network import embed, scaled
from .progress import Journal, Progress
from .schedule import Schedule

BATCH = 64
RATE, HEAD_RATE = 1e-4, 1e-3


def pretrain(model: EmoAxisModel, tasks: list[tuple[Encoded, np.ndarray]], seed: int, journal: Journal) -> None:
    """One pass over the texts of all tasks, whose targets are classes; the tasks' batches are mixed."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    hidden = model.config.encoder.hidden_size
    heads = [nn.Linear(hidden, int(classes.max()) + 1) for _, classes in tasks]
    batches = [texts.shuffled(BATCH, random) for texts, _ in tasks]
    turns = random.permutation(np.repeat(np.arange(len(tasks)), [texts.steps(BATCH) for texts, _ in tasks]))
    schedule = Schedule(model.encoder, heads, RATE, HEAD_RATE, len(turns))
    progress = Progress("pretrain", len(turns), journal)
    model.train()
    for task in turns:
        batch = next(batches[task])
        targets = torch.from_numpy(tasks[task][1][batch.rows])
        loss = functional.cross_entropy(heads[task](scaled(embed(model, batch))), targets)
        schedule.step(loss)
        progress.step(loss.item(), len(batch.rows))
