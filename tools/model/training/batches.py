"""Micro-batches of texts of like length: no time goes into padding."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

MAX_LENGTH = 128
# So many batches are sorted together: the order stays random, the lengths alike.
POOLED = 50


@dataclass(frozen=True)
class Batch:
    """Token ids and attention mask [texts, tokens], and which texts they are."""

    rows: np.ndarray
    input_ids: torch.Tensor
    attention_mask: torch.Tensor


class Encoded:
    """Texts as token ids."""

    def __init__(self, tokenizer: Tokenizer, texts: list[str]):
        self.tokenizer = tokenizer
        tokenizer.enable_truncation(MAX_LENGTH)
        self._hold([encoding.ids for encoding in tokenizer.encode_batch_fast(texts)])

    def _hold(self, ids: list[list[int]]) -> None:
        self.ids = ids
        self.lengths = np.array([len(one) for one in ids])

    def join(self, others: "Encoded") -> "Encoded":
        """These, and then the others."""
        joined = copy(self)
        joined._hold(self.ids + others.ids)
        return joined

    def last(self, count: int) -> "Encoded":
        """The last so many."""
        some = copy(self)
        some._hold(self.ids[len(self.ids) - count :])
        return some

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: np.ndarray) -> Batch:
        longest = int(self.lengths[rows].max())
        ids = np.zeros((len(rows), longest), np.int64)
        for place, row in enumerate(rows):
            ids[place, : self.lengths[row]] = self.ids[row]
        mask = np.arange(longest)[None, :] < self.lengths[rows][:, None]
        return Batch(rows, torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64)))

    def shuffled(self, size: int, random: np.random.Generator) -> Iterator[Batch]:
        """Each text once, in batches of `size`."""
        order = random.permutation(len(self))
        pools = [order[start : start + size * POOLED] for start in range(0, len(order), size * POOLED)]
        for pool in pools:
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches = [pool[start : start + size] for start in range(0, len(pool), size)]
            for place in random.permutation(len(batches)):
                yield self.batch(batches[place])

    def steps(self, size: int) -> int:
        """How many batches `shuffled` makes."""
        whole, rest = divmod(len(self), size * POOLED)
        return whole * POOLED + -(-rest // size)

    def in_order(self, tokens: int = 4096) -> Iterator[Batch]:
        """Each text once, the short ones first, padded to at most so many tokens."""
        order = np.argsort(self.lengths, kind="stable")
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * self.lengths[order[end]] <= tokens:
                end += 1
            yield self.batch(order[start:end])
            start = end
