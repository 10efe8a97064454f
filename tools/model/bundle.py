"""Completes a model bundle: bundle.py FOLDER [--check | --hashes].

Reads FOLDER's model.onnx, tokenizer.json, model.json and golden.jsonl; scores every golden text by
itself; writes the scores into golden.jsonl and the sha256 of the files into model.json; prints the
model hash. Everything else in the two JSON files is written by hand (see models/README.md).

--check writes nothing: it fails when a hash differs, or a golden score by more than the bundle's
tolerance. --hashes keeps the golden scores, for a graph that must come near those of another.

    python3 -m pip install -r tools/model/requirements.txt
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

HASHED = ["model.onnx", "tokenizer.json", "golden.jsonl"]
# What the scores and labels follow from, beside the two files; part of the model hash.
IDENTITY = ["activation", "labels", "max_length", "pad_id", "thresholds"]
FIELDS = {
    "id", "description", "labels", "activation", "thresholds", "max_length", "pad_id", "languages",
    "inputs", "output", "precision", "files", "tolerance", "metrics", "licence", "provenance",
}  # fmt: skip


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def model_hash(manifest: dict, folder: Path) -> str:
    """The content hash that every output names; models/README.md defines it."""
    identity = {key: manifest[key] for key in IDENTITY}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    parts = [sha256(folder / "model.onnx"), sha256(folder / "tokenizer.json"), canonical]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def require_unambiguous(tokenizer_path: Path) -> None:
    """Two added tokens that are equal once normalised get one of their ids at random at each load."""
    description = json.loads(tokenizer_path.read_text("utf-8"))
    normalizer = Tokenizer.from_file(str(tokenizer_path)).normalizer
    seen: dict[str, str] = {}
    for token in description["added_tokens"]:
        if not token["normalized"]:
            continue
        content = token["content"]
        normal = normalizer.normalize_str(content) if normalizer else content
        if normal in seen:
            sys.exit(f"{tokenizer_path}: added tokens {seen[normal]!r} and {content!r} are equal once normalised")
        seen[normal] = content


class Model:
    """The bundle's model on one CPU thread."""

    def __init__(self, manifest: dict, folder: Path):
        require_unambiguous(folder / "tokenizer.json")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(manifest["max_length"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs, self.output = manifest["inputs"], manifest["output"]
        if manifest["activation"] != "sigmoid":
            sys.exit(f"activation {manifest['activation']!r} is not known; known: sigmoid")

    def scores(self, text: str) -> np.ndarray:
        """One probability per label."""
        encoding = self.tokenizer.encode(text)
        feed = {
            self.inputs["input_ids"]: np.array([encoding.ids], dtype=np.int64),
            self.inputs["attention_mask"]: np.array([encoding.attention_mask], dtype=np.int64),
        }
        (logits,) = self.session.run([self.output], feed)
        return (1.0 / (1.0 + np.exp(-logits[0].astype(np.float64)))).astype(np.float32)


def require_complete(manifest: dict, path: Path) -> None:
    expected = FIELDS - {"files"}
    given = set(manifest) - {"files"}
    if given != expected:
        sys.exit(f"{path}: missing {sorted(expected - given)}, unknown {sorted(given - expected)}")
    if len(manifest["thresholds"]) != len(manifest["labels"]):
        sys.exit(f"{path}: {len(manifest['thresholds'])} thresholds for {len(manifest['labels'])} labels")


def decimals(scores: np.ndarray) -> list[float]:
    """The shortest decimals that read back as the same float32."""
    return [float(str(score)) for score in scores]


def write_hashes(manifest: dict, path: Path) -> None:
    manifest["files"] = {name: sha256(path.parent / name) for name in HASHED}
    path.write_bytes((json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def main() -> None:
    arguments = argparse.ArgumentParser(description="complete a model bundle: golden scores and hashes")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments.add_argument("--hashes", action="store_true", help="keep the golden scores, write the hashes")
    options = arguments.parse_args()
    if options.check and options.hashes:
        arguments.error("--check or --hashes, not both")

    folder: Path = options.folder
    manifest_path, golden_path = folder / "model.json", folder / "golden.jsonl"
    manifest = json.loads(manifest_path.read_text("utf-8"))
    require_complete(manifest, manifest_path)
    if options.hashes:
        require_unambiguous(folder / "tokenizer.json")
        write_hashes(manifest, manifest_path)
        print(f"model hash {model_hash(manifest, folder)}")
        return
    golden = [json.loads(line) for line in golden_path.read_text("utf-8").splitlines()]
    model = Model(manifest, folder)
    scores = [model.scores(line["text"]) for line in golden]
    if any(len(one) != len(manifest["labels"]) for one in scores):
        sys.exit(f"{folder / 'model.onnx'}: {len(scores[0])} logits for {len(manifest['labels'])} labels")

    if options.check:
        for name in HASHED:
            if manifest["files"][name] != sha256(folder / name):
                sys.exit(f"{folder / name}: sha256 {sha256(folder / name)}, the manifest says {manifest['files'][name]}")
        difference = np.abs(np.array(scores) - np.array([line["scores"] for line in golden], dtype=np.float32))
        mean, most = float(difference.mean()), float(difference.max())
        print(f"golden scores differ by {mean:.2g} on average, {most:.2g} at most")
        if mean > manifest["tolerance"]["mean"] or most > manifest["tolerance"]["max"]:
            sys.exit(f"that is more than the tolerance {manifest['tolerance']}")
    else:
        lines = [
            json.dumps({"text": line["text"], "scores": decimals(one)}, ensure_ascii=False)
            for line, one in zip(golden, scores)
        ]
        golden_path.write_bytes(("\n".join(lines) + "\n").encode())
        write_hashes(manifest, manifest_path)
        counts = (np.array(scores) >= np.array(manifest["thresholds"], dtype=np.float32)).sum(axis=0)
        print(f"{len(golden)} golden texts; labels given:", dict(zip(manifest["labels"], counts.tolist())))
    print(f"model hash {model_hash(manifest, folder)}")


if __name__ == "__main__":
    main()
