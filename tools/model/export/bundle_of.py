"""Writes a bundle: graph, tokenizer, golden texts, and a manifest with every key that models/README.md names.

Golden scores are PyTorch's for fp32 and fp16, so that every start of a worker compares with the origin; int8's are its
own, since they are what another machine may be off from.
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
from tokenizers import Tokenizer

import bundle

from . import card
from .checkpoint import Checkpoint

# At most what src/inference/manifest.rs lets a manifest ask for.
TOLERANCE = {
    "fp32": {"mean": 0.0001, "max": 0.0001},
    "fp16": {"mean": 0.005, "max": 0.05},
    "int8": {"mean": 0.005, "max": 0.05},
}
HOW = {
    "fp32": "32-bit floats",
    "fp16": "16-bit floats and fused operators, for GPUs; golden scores are those of the checkpoint in 32 bits",
    "int8": "int8 weights with a scale per column and int8 activations whose scales no other post has a part in",
}


def slug(source: str) -> str:
    name = Path(source).name if Path(source).is_dir() else source.split("/")[-1]
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "model"


def plain_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The Rust tokenizer beneath transformers', without truncation and padding: the worker cuts and pads."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def manifest(checkpoint: Checkpoint, precision: str, name: str, given: dict) -> dict:
    """Everything but the hashes; `given` is what the caller says better: licence, languages, description, metrics."""
    known = checkpoint.card
    licences = card.listed(known.get("license_name") or known.get("license"))
    data = card.listed(known.get("datasets"))
    revision = f" at revision {checkpoint.revision}" if checkpoint.revision else ""
    source = checkpoint.source if checkpoint.revision else slug(checkpoint.source)
    provenance = f"Exported from the checkpoint {source}{revision} by moodstream: {HOW[precision]}."
    if data:
        provenance += f" Its card names as training data: {', '.join(data)}."
    return {
        "id": name,
        "description": given.get("description")
        or f"{len(checkpoint.labels)} labels by a {checkpoint.family} encoder, {precision}.",
        "labels": checkpoint.labels,
        "activation": "sigmoid",
        "thresholds": checkpoint.thresholds,
        "max_length": checkpoint.max_length,
        "pad_id": checkpoint.pad_id,
        "languages": given["languages"] if given.get("languages") is not None else card.languages(known),
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"},
        "output": "logits",
        "precision": precision,
        "tolerance": TOLERANCE[precision],
        "metrics": {key: value for key, value in given["metrics"].items() if isinstance(value, (int, float))},
        "licence": given.get("licence") or ", ".join(licences) or "Unknown: the checkpoint's card names none.",
        "provenance": given.get("provenance") or provenance,
    }


def write(
    folder: Path,
    model: onnx.ModelProto,
    tokenizer: Tokenizer,
    described: dict,
    golden: list[tuple[str, np.ndarray]],
    readme: str,
) -> str:
    """All or nothing: into a folder beside it, which then takes its name. Gives the model hash; `readme` is the model's card, if it has one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    try:
        onnx.save(model, staged / "model.onnx")
        tokenizer.save(str(staged / "tokenizer.json"), pretty=False)
        bundle.require_unambiguous(staged / "tokenizer.json")
        lines = [json.dumps({"text": text, "scores": bundle.decimals(scores)}, ensure_ascii=False) for text, scores in golden]
        (staged / "golden.jsonl").write_bytes(("\n".join(lines) + "\n").encode())
        if readme:
            (staged / "README.md").write_text(readme, "utf-8")
        bundle.require_complete(described, staged / "model.json")
        bundle.write_hashes(described, staged / "model.json")
        found = bundle.model_hash(described, staged)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
        return found
    finally:
        shutil.rmtree(staged, ignore_errors=True)
