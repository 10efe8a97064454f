"""The whole command: a bundle that has everything, and token ids that are the Python tokenizer's."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest

import bundle
import random_checkpoint
from export import checkpoint, texts, tokens
from export.running import Bundle

TOOLS = Path(__file__).parents[2]


def export(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore", "-m", "export", *arguments]
    return subprocess.run(command, cwd=TOOLS, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(checkpoints, tmp_path_factory):
    """An int8 bundle of 28 labels, of a checkpoint with a card."""
    folder = checkpoints("bert")
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage:\n- en\ndatasets:\n- go_emotions\n---\n# A model\n")
    out = tmp_path_factory.mktemp("bundles") / "go"
    done = export(str(folder), "--precision", "int8", "--out", str(out), "--thresholds", "0.4")
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_bundle_is_complete_and_says_where_it_comes_from(made):
    out, printed = made
    manifest = json.loads((out / "model.json").read_text("utf-8"))
    bundle.require_complete(manifest, out / "model.json")
    assert manifest["labels"] == random_checkpoint.GOEMOTIONS
    assert manifest["thresholds"] == [0.4] * 28
    assert manifest["licence"] == "mit" and manifest["languages"] == ["en"]
    assert (out / "README.md").read_text("utf-8").endswith("# A model\n"), "its card comes along"
    assert "go_emotions" in manifest["provenance"] and "bert" in manifest["provenance"]
    assert str(out.parents[1]) not in json.dumps(manifest), "no paths of this machine"
    assert manifest["precision"] == "int8" and manifest["max_length"] == 48
    assert {"golden_label_agreement_with_fp32", "golden_max_difference_from_pytorch"} <= set(manifest["metrics"])
    assert {name: bundle.sha256(out / name) for name in bundle.HASHED} == manifest["files"]
    assert f"model hash {bundle.model_hash(manifest, out)}" in printed
    assert "moodstream model verify" in printed


def test_golden_scores_are_those_of_the_bundle_and_its_texts_the_projects_own(made):
    out, _ = made
    golden = [json.loads(line) for line in (out / "golden.jsonl").read_text("utf-8").splitlines()]
    assert [line["text"] for line in golden] == texts.golden()
    found = Bundle(out)
    scores = found.alone(found.ids(texts.golden()))
    assert np.abs(scores - np.array([line["scores"] for line in golden], np.float32)).max() <= 1e-6


def test_what_fails_writes_nothing_and_says_why_in_one_line(tmp_path):
    random_checkpoint.make("bert", tmp_path / "single", tiny=True, problem="single_label_classification")
    done = export(str(tmp_path / "single"), "--precision", "fp32", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "softmax" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["emoaxis", "bert", "deberta-v2", "xlm-roberta"])
def test_token_ids_are_those_of_transformers(checkpoints, tmp_path, kind):
    """Emoji, right to left, combining marks, far too long and empty texts among them."""
    from export.bundle_of import plain_tokenizer

    source = checkpoint.load(str(checkpoints(kind)), checkpoint.Options())
    plain_tokenizer(source).save(str(tmp_path / "tokenizer.json"))
    from export.running import tokenizer_for

    class Ids:
        manifest = {"max_length": source.max_length}
        tokenizer = tokenizer_for(tmp_path / "tokenizer.json", source.max_length)

        def ids(self, given):
            return [encoding.ids for encoding in self.tokenizer.encode_batch(given)]

    assert tokens.differing(Ids(), source.tokenizer, [*texts.HARD, *texts.own()]) == []
    lengths = [len(one) for one in Ids().ids(texts.HARD)]
    assert max(lengths) == source.max_length and min(lengths) == 2


def test_the_tokenizer_library_is_that_of_the_workers_crate():
    assert tokens.crate_version() == version("tokenizers")


def test_texts_to_compare_with_are_different_and_as_many_as_wanted():
    found = texts.varied(2000)
    assert len(found) == len(set(found)) == 2000
    assert all(text.strip() for text in found)


def test_an_int8_bundle_becomes_an_fp32_one_with_its_own_weights(made, tmp_path):
    before, _ = made
    done = export(str(before), "--precision", "fp32", "--out", str(tmp_path / "wide"))
    assert done.returncode == 0, done.stderr
    narrow, wide = Bundle(before), Bundle(tmp_path / "wide")
    assert wide.manifest["precision"] == "fp32" and wide.manifest["labels"] == narrow.manifest["labels"]
    sequences = narrow.ids(texts.golden())
    scores = wide.alone(sequences)
    # Activations alone are rounded in the narrow one.
    assert 0 < np.abs(scores - narrow.alone(sequences)).mean() < 0.02
    kinds = {node.op_type for node in onnx.load(tmp_path / "wide" / "model.onnx").graph.node}
    assert not kinds & {"MatMulIntegerToFloat", "QuantizeLinear", "Shape"}
