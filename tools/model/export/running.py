"""Runs a graph on the processor as a worker does: one thread, texts sorted by length, micro-batches of padded tokens."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BUDGET = 1024


def probabilities(logits: np.ndarray) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def tokenizer_for(file: Path, max_length: int) -> Tokenizer:
    """As the worker uses it: it cuts, and never pads."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def session(model: str | bytes, level: onnxruntime.GraphOptimizationLevel | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    if level is not None:
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Runner:
    """A graph, with the token ids of texts as its input."""

    def __init__(self, model: str | bytes, pad_id: int):
        self.session, self.pad_id = session(model), pad_id

    def batch(self, sequences: list[list[int]], width: int | None = None) -> np.ndarray:
        """Scores of one micro-batch, padded to its longest text, or to `width`."""
        return probabilities(self.session.run(["logits"], feed(sequences, self.pad_id, width))[0])

    def alone(self, sequences: list[list[int]]) -> np.ndarray:
        """Scores of each text by itself."""
        return np.concatenate([self.batch([one]) for one in sequences])

    def sorted(self, sequences: list[list[int]], budget: int = BUDGET) -> np.ndarray:
        """Scores in the order given, computed in micro-batches of texts of like length."""
        order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
        return self.in_order(sequences, order, budget)

    def in_order(self, sequences: list[list[int]], order: list[int], budget: int = BUDGET) -> np.ndarray:
        parts = cut(sequences, order, budget)
        scores = [self.batch([sequences[index] for index in part]) for part in parts]
        found = np.concatenate(scores)
        result = np.empty_like(found)
        result[np.concatenate(parts)] = found
        return result


def feed(sequences: list[list[int]], pad_id: int, width: int | None = None) -> dict[str, np.ndarray]:
    width = width or max(len(one) for one in sequences)
    ids = np.full((len(sequences), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(sequences):
        ids[row, : len(one)], mask[row, : len(one)] = one, 1
    return {"input_ids": ids, "attention_mask": mask}


def cut(sequences: list[list[int]], order: list[int], budget: int = BUDGET) -> list[list[int]]:
    """Micro-batches: longest × count within the budget, a text above it by itself."""
    parts: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, len(sequences[index]))
        if parts and longest * (len(parts[-1]) + 1) <= budget:
            parts[-1].append(index)
        else:
            parts.append([index])
            longest = len(sequences[index])
    return parts


class Bundle(Runner):
    """A bundle on disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest = json.loads((folder / "model.json").read_text("utf-8"))
        super().__init__(str(folder / "model.onnx"), self.manifest["pad_id"])
        self.tokenizer = tokenizer_for(folder / "tokenizer.json", self.manifest["max_length"])

    def ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def labels(self, scores: np.ndarray) -> np.ndarray:
        return scores >= np.array(self.manifest["thresholds"], np.float32)
