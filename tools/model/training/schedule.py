"""One optimiser for the encoder and what sits on it, with warm-up and cosine decay."""

import math
from collections.abc import Iterable

import torch
from torch import nn

WARM_UP = 0.08
WEIGHT_DECAY = 0.01


class Schedule:
    """AdamW with two rates. `step` takes the gradients of a loss."""

    def __init__(self, encoder: nn.Module, heads: Iterable[nn.Module], rate: float, head_rate: float, steps: int):
        groups = [{"params": list(encoder.parameters()), "lr": rate}]
        groups.append({"params": [weight for head in heads for weight in head.parameters()], "lr": head_rate})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
        self.weights = [weight for group in groups for weight in group["params"]]
        warm_up = max(1, round(steps * WARM_UP))

        def share(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up))))

        self.decay = torch.optim.lr_scheduler.LambdaLR(self.optimizer, share)

    def step(self, loss: torch.Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.decay.step()
        self.optimizer.zero_grad(set_to_none=True)
