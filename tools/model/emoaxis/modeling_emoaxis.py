"""The reference model's architecture (EmoAxis, Model II) over any encoder: one score per label of a text.

encoder without pooler -> mean over the attended tokens -> L2 normalise -> Linear, LayerNorm, GELU, Dropout, Linear.
A checkpoint carries this file, so that `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads it.
"""

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel

from .configuration_emoaxis import EmoAxisConfig


class EmoAxisModel(PreTrainedModel):
    """Returns (embedding, logits): float [texts, hidden], of length 1, and float [texts, labels]."""

    config_class = EmoAxisConfig

    def __init__(self, config):
        super().__init__(config)
        # roberta's and BERT's take no pooler; others have none.
        pooler = {"add_pooling_layer": False} if config.encoder.model_type in {"bert", "roberta", "xlm-roberta"} else {}
        self.encoder = AutoModel.from_config(config.encoder, **pooler)
        hidden = config.encoder.hidden_size
        self.classifier = nn.Sequential(
            nn.Linear(hidden, config.head_size),
            nn.LayerNorm(config.head_size),
            nn.GELU(),
            nn.Dropout(config.head_dropout),
            nn.Linear(config.head_size, config.num_labels),
        )
        self.post_init()

    def embed(self, input_ids, attention_mask):
        """The post's embedding."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        attended = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * attended).sum(1) / attended.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=-1)

    def forward(self, input_ids, attention_mask):
        embedding = self.embed(input_ids, attention_mask)
        return embedding, self.classifier(embedding)
