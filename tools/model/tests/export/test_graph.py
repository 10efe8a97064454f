"""The fp32 graph gives PyTorch's scores, whatever company a text is in."""

import numpy as np
import pytest

import random_checkpoint
from conftest import exported, shuffled
from export import texts
from export.__main__ import torch_scores
from export.fp16 import convert

KINDS = random_checkpoint.KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_pytorch_and_labels_the_same(tiny, kind):
    model = tiny(kind)
    expected = torch_scores(model.source, model.sequences)
    scores = model.runner().alone(model.sequences)
    assert expected.shape == (len(model.sequences), 28 if kind == "bert" else 11)
    assert expected.std() > 0.01, "scores that are all the same would prove nothing"
    assert np.abs(scores - expected).max() <= 1e-5
    assert ((scores >= 0.5) == (expected >= 0.5)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_neither_order_nor_padding_moves_a_score(tiny, kind):
    model = tiny(kind)
    alone = model.runner().alone(model.sequences)
    assert np.abs(shuffled(model.runner(), model.sequences) - alone).max() <= 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_only_ids_and_mask_go_in_and_logits_come_out(tiny, kind):
    graph = tiny(kind).fp32.graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in graph.output] == ["logits"]
    sides = graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param for side in sides] == ["batch", "sequence"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deberta-v2"])
def test_no_shape_is_computed_since_a_gpu_leaves_that_to_the_processor(tiny, kind):
    kinds = {node.op_type for node in tiny(kind).fp32.graph.node}
    assert not kinds & {"Shape", "ConstantOfShape", "Range", "Expand", "NonZero", "If"}


def test_the_reference_model_at_full_size_gives_pytorchs_scores(tmp_path):
    random_checkpoint.make("emoaxis", tmp_path / "reference")
    model = exported(tmp_path / "reference", texts.own()[:20])
    expected = torch_scores(model.source, model.sequences)
    scores = model.runner().sorted(model.sequences)
    assert sum(parameter.numel() for parameter in model.source.model.parameters()) > 124e6
    assert expected.std() > 0.01
    assert np.abs(scores - expected).max() <= 1e-5
    assert ((scores >= 0.5) == (expected >= 0.5)).all()


@pytest.mark.parametrize("kind", ["emoaxis", "bert", "roberta", "distilbert", "xlm-roberta"])
def test_fused_operators_compute_what_the_plain_ones_do(tiny, kind):
    import onnx

    from export.running import Runner

    model = tiny(kind)
    copy = onnx.ModelProto()
    copy.CopyFrom(model.fp32)
    fused = convert(copy, half=False)
    kinds = {node.op_type for node in fused.graph.node}
    assert {"Attention", "SkipLayerNormalization", "BiasGelu"} <= kinds
    assert not kinds & {"Softmax", "Transpose"}
    runner = Runner(fused.SerializeToString(), model.pad_id)
    exact = model.runner().alone(model.sequences)
    assert np.abs(runner.sorted(model.sequences) - exact).max() <= 1e-5


def test_sixteen_bits_stay_within_their_tolerance_on_a_trained_model(starter):
    import onnx

    from export.bundle_of import TOLERANCE
    from export.running import Runner

    copy = onnx.ModelProto()
    copy.CopyFrom(starter.fp32)
    runner = Runner(convert(copy).SerializeToString(), starter.pad_id)
    some = starter.sequences[:40]
    difference = np.abs(runner.sorted(some) - starter.runner().alone(some))
    assert difference.mean() <= TOLERANCE["fp16"]["mean"]
    assert 0 < difference.max() <= TOLERANCE["fp16"]["max"]
