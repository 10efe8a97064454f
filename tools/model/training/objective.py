"""The published objective of EmoAxis, Model II: half similarity to descriptions of the emotions, half classification.

Its constants are those of the model's card: temperature 0.05, clipping 0.05, gamma 1 and 3.
"""

import torch
from torch.nn import functional

TEMPERATURE = 0.05
CLIPPING = 0.05
GAMMA_POSITIVE, GAMMA_NEGATIVE = 1.0, 3.0

# In the order of the labels.
DESCRIPTIONS = [
    "anger, also annoyance and rage",
    "anticipation, also interest and vigilance",
    "disgust, also disinterest, dislike and loathing",
    "fear, also apprehension, anxiety and terror",
    "joy, also serenity and ecstasy",
    "love, also affection",
    "optimism, also hopefulness and confidence",
    "pessimism, also cynicism and no confidence",
    "sadness, also pensiveness and grief",
    "surprise, also distraction and amazement",
    "trust, also acceptance, liking and admiration",
]


def similarity(posts: torch.Tensor, descriptions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of cosine / temperature, a sum per post; both embeddings have length 1."""
    logits = posts @ descriptions.T / TEMPERATURE
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(-1)


def asymmetric(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Asymmetric focal loss, a sum per post; `labels` may lie between 0 and 1."""
    score = logits.sigmoid()
    shifted = (score - CLIPPING).clamp(min=0.0)
    positive = (1 - score) ** GAMMA_POSITIVE * score.clamp(min=1e-6).log()
    negative = shifted**GAMMA_NEGATIVE * (1 - shifted).clamp(min=1e-6).log()
    return -(labels * positive + (1 - labels) * negative).sum(-1)
