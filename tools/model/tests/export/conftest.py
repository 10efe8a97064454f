"""Checkpoints made on the spot, each exported once for all tests."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import random_checkpoint
from export import bundle_of, checkpoint, graph, int8, texts, widen
from export.__main__ import encoded
from export.running import Bundle, Runner

torch.set_num_threads(1)
checkpoint.quiet()


@dataclass
class Exported:
    """A model's fp32 graph, and token ids of texts as a worker gets them."""

    pad_id: int
    fp32: onnx.ModelProto
    sequences: list[list[int]]
    # The checkpoint that it was exported from, where there is one.
    source: checkpoint.Checkpoint | None = None

    @cache
    def runner(self) -> Runner:
        return Runner(self.fp32.SerializeToString(), self.pad_id)

    @cache
    def int8(self) -> Runner:
        copy = onnx.ModelProto()
        copy.CopyFrom(self.fp32)
        return Runner(int8.quantise(copy).SerializeToString(), self.pad_id)

    __hash__ = object.__hash__


def exported(folder: Path, given: list[str]) -> Exported:
    source = checkpoint.load(str(folder), checkpoint.Options())
    model = graph.export(source)
    sequences = encoded(bundle_of.plain_tokenizer(source), given, source.max_length)
    return Exported(source.pad_id, model, sequences, source)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """kind -> folder of a tiny checkpoint; the labels of `bert` are GoEmotions' 28."""

    @cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("checkpoints") / kind
        labels = random_checkpoint.GOEMOTIONS if kind == "bert" else random_checkpoint.EMOTIONS
        random_checkpoint.make(kind, folder, tiny=True, labels=labels)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny(checkpoints):
    """kind -> a tiny checkpoint and its graph."""
    return cache(lambda kind: exported(checkpoints(kind), [*texts.golden(), *texts.HARD]))


@pytest.fixture(scope="session")
def starter():
    """The starter's weights as floats: a trained model."""
    folder = texts.ROOT / "models" / "starter"
    model, manifest = widen.load(folder)
    return Exported(manifest["pad_id"], model, Bundle(folder).ids(texts.own()[:200]))


def shuffled(runner: Runner, sequences: list[list[int]]) -> np.ndarray:
    """Scores from batches in another order, so with other neighbours and other padding."""
    order = np.random.default_rng(3).permutation(len(sequences)).tolist()
    return runner.in_order(sequences, order)
