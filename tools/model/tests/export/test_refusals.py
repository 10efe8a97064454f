"""What cannot be exported is refused by name, with what can be done."""

import json

import pytest

import random_checkpoint
from export import checkpoint
from export.checkpoint import Options, load
from export.refusal import Refused


def changed(checkpoints, tmp_path, kind: str, **values) -> str:
    """A copy of a tiny checkpoint with other keys in config.json; None takes one out."""
    import shutil

    folder = tmp_path / "changed"
    shutil.copytree(checkpoints(kind), folder)
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in (config | values).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def refused(source: str, options: Options | None = None) -> str:
    with pytest.raises(Refused) as error:
        load(source, options or Options())
    return str(error.value)


def test_a_softmax_model_is_refused_by_name(tmp_path):
    random_checkpoint.make("bert", tmp_path / "single", tiny=True, problem="single_label_classification")
    message = refused(str(tmp_path / "single"))
    assert "single-label softmax model" in message and "single_label_classification" in message
    # Not even on request: it says what it is.
    assert "single-label softmax model" in refused(str(tmp_path / "single"), Options(multi_label=True))


def test_a_model_that_does_not_say_is_refused_until_the_caller_does(checkpoints, tmp_path):
    source = changed(checkpoints, tmp_path, "distilbert", problem_type=None)
    message = refused(source)
    assert "softmax" in message and "MULTI_LABEL=1" in message
    assert load(source, Options(multi_label=True)).labels == random_checkpoint.EMOTIONS


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"problem_type": "regression"}, ["regression", "multi_label_classification"]),
        ({"model_type": "gpt2"}, ["gpt2", "not supported", "roberta"]),
        ({"architectures": ["BertForMaskedLM"]}, ["BertForMaskedLM", "no sequence classifier"]),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": None}, ["classifier.weight", "another number of labels"]),
    ],
)
def test_what_is_no_multi_label_classifier_is_refused(checkpoints, tmp_path, values, parts):
    message = refused(changed(checkpoints, tmp_path, "bert", **values))
    for part in parts:
        assert part in message


def test_labels_without_names_are_asked_for(checkpoints, tmp_path):
    nameless = {str(index): f"LABEL_{index}" for index in range(28)}
    source = changed(checkpoints, tmp_path, "bert", id2label=nameless, label2id=None)
    assert "LABELS=" in refused(source)
    assert load(source, Options(labels=random_checkpoint.GOEMOTIONS)).labels[-1] == "neutral"


def test_an_encoder_without_a_classifier_is_refused(checkpoints, tmp_path):
    from safetensors.torch import load_file, save_file

    source = changed(checkpoints, tmp_path, "bert")
    weights = load_file(f"{source}/model.safetensors")
    save_file({name: value for name, value in weights.items() if "classifier" not in name}, f"{source}/model.safetensors", {"format": "pt"})
    assert "classifier" in refused(source)


def test_code_from_elsewhere_runs_only_on_request(checkpoints, tmp_path):
    source = changed(checkpoints, tmp_path, "emoaxis")
    code = tmp_path / "changed" / "modeling_emoaxis.py"
    code.write_text(code.read_text() + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    message = refused(source)
    assert "modeling_emoaxis.py" in message and "TRUST_CODE=1" in message
    assert not (tmp_path / "ran").exists()
    assert load(source, Options(trust_code=True)).labels == random_checkpoint.EMOTIONS
    assert (tmp_path / "ran").exists()


def test_an_unreachable_hub_is_told_with_what_to_do(monkeypatch, tmp_path):
    import huggingface_hub.constants

    # A port where nothing listens.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 2)
    message = refused("somebody/some-model")
    for part in ["somebody/some-model", "hub cannot be reached", "hf download somebody/some-model", "MODEL=<folder>"]:
        assert part in message
    assert "\n" not in message


def test_a_folder_that_is_not_there_or_holds_a_bundle_is_told(tmp_path):
    assert "no such folder" in refused(str(tmp_path / "absent"))
    (tmp_path / "model.onnx").touch()
    assert "it is a bundle" in refused(str(tmp_path))


def test_more_tokens_than_positions_are_refused(checkpoints):
    assert "64 positions" in refused(str(checkpoints("roberta")), Options(max_length=65))
    assert load(str(checkpoints("roberta")), Options(max_length=64)).max_length == 64


def test_fp16_is_refused_where_no_fused_attention_fits(tiny):
    import onnx

    from export.fp16 import convert

    copy = onnx.ModelProto()
    copy.CopyFrom(tiny("deberta-v2").fp32)
    with pytest.raises(Refused, match="PRECISION=fp32"):
        convert(copy)
