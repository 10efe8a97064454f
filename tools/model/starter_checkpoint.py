"""Makes a checkpoint of the starter bundle's weights: starter_checkpoint.py FOLDER

The starter is int8; its weights are made floats again and put into the reference architecture (emoaxis/), so that
`make model MODEL=FOLDER PRECISION=fp16` can make a bundle for a GPU of it, and tests have a trained model to export.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import BertConfig, PreTrainedTokenizerFast

from emoaxis.configuration_emoaxis import EmoAxisConfig
from emoaxis.modeling_emoaxis import EmoAxisModel
from random_checkpoint import save

STARTER = Path(__file__).parents[2] / "models" / "starter"


def weights(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """By the names of EmoAxisModel: the starter's graph keeps those of the modules that it was exported from."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[str, np.ndarray] = {}
    for old, new in [("enc.", "encoder."), ("mlp.", "classifier.")]:
        for name in stored:
            if name.startswith(old):
                found[new + name.removeprefix(old)] = stored[name]
    words = "encoder.embeddings.word_embeddings.weight"
    found[words] = found.pop(f"{words}_q").astype(np.float32) * found.pop(f"{words}_s")
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            module = node.name.removeprefix("/enc/").removesuffix("/MatMul_mmi").replace("/", ".")
            scale = stored[node.input[1].removesuffix("_q") + "_s"]
            found[f"encoder.{module}.weight"] = (stored[node.input[1]].astype(np.float32) * scale).T
    return found


def make(folder: Path) -> None:
    manifest = json.loads((STARTER / "model.json").read_text("utf-8"))
    found = weights(onnx.load(STARTER / "model.onnx").graph)
    vocabulary, hidden = found["encoder.embeddings.word_embeddings.weight"].shape
    layers = 1 + max(int(name.split(".layer.")[1].split(".")[0]) for name in found if ".layer." in name)
    encoder = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=12,
        intermediate_size=found["encoder.encoder.layer.0.intermediate.dense.bias"].size,
    )  # fmt: skip
    labels = manifest["labels"]
    config = EmoAxisConfig(
        encoder=encoder, thresholds=manifest["thresholds"], id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)}, head_size=found["classifier.0.bias"].size,
    )  # fmt: skip
    model = EmoAxisModel(config)
    model.load_state_dict({name: torch.tensor(value) for name, value in found.items()})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(STARTER / "tokenizer.json")), cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]",
    )  # fmt: skip
    save(model, tokenizer, folder, manifest["max_length"])


def main() -> None:
    arguments = argparse.ArgumentParser(description="make a checkpoint of the starter's weights")
    arguments.add_argument("folder", type=Path)
    options = arguments.parse_args()
    make(options.folder)
    print(f"{options.folder}: the weights of models/starter in the reference architecture")


if __name__ == "__main__":
    main()
