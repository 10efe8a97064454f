"""Per-token int8: no other post has a part in a score (I5), and the scores stay near those of fp32."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import random_checkpoint
from conftest import shuffled
from export import int8, widen
from export.running import Runner


@pytest.mark.parametrize("kind", random_checkpoint.KINDS)
def test_neither_order_nor_padding_moves_a_score_or_flips_a_label(tiny, kind):
    model = tiny(kind)
    alone = model.int8().alone(model.sequences)
    other = shuffled(model.int8(), model.sequences)
    assert np.abs(other - alone).max() <= 1e-6
    assert ((other >= 0.5) == (alone >= 0.5)).all()


def test_a_trained_models_scores_do_not_move_with_the_batch(starter):
    alone = starter.int8().alone(starter.sequences)
    other = shuffled(starter.int8(), starter.sequences)
    assert np.abs(other - alone).max() <= 1e-6
    assert ((other >= 0.5) == (alone >= 0.5)).all()


def test_dynamic_int8_fails_the_same_check_so_it_can_fail(starter, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnx.save(starter.fp32, tmp_path / "fp32.onnx")
    quantize_dynamic(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx", per_channel=True, weight_type=QuantType.QInt8)
    dynamic = Runner(str(tmp_path / "dynamic.onnx"), starter.source.pad_id)
    alone = dynamic.alone(starter.sequences)
    assert np.abs(shuffled(dynamic, starter.sequences) - alone).max() > 1e-3


def test_a_trained_models_scores_and_labels_stay_near_fp32(starter):
    exact, scores = starter.runner().sorted(starter.sequences), starter.int8().sorted(starter.sequences)
    assert 0 < np.abs(scores - exact).mean() <= 0.006
    assert ((scores >= 0.5) == (exact >= 0.5)).mean() >= 0.99


@pytest.mark.parametrize("kind", random_checkpoint.KINDS)
def test_every_dense_layer_of_the_encoder_is_int8_and_an_input_is_quantised_once(tiny, kind):
    model = tiny(kind)
    copy = onnx.ModelProto()
    copy.CopyFrom(model.fp32)
    quantised = int8.quantise(copy)
    weights = {tensor.name for tensor in quantised.graph.initializer}
    left = [node for node in quantised.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    products = [node for node in quantised.graph.node if node.op_type == "MatMulIntegerToFloat"]
    assert not left
    # Two layers: query, key, value, what joins the heads, and two of the feed-forward part.
    assert len(products) >= 12
    sources = [node.input[0] for node in products]
    made = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    assert len(made) == len(set(sources)) < len(products)


def test_what_gelu_gives_fits_its_zero_point():
    """A row that is nothing but GELU's least value, and one that is large."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.eye(4, dtype=np.float32)
    nodes = [helper.make_node("Gelu", ["x"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["y"])]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "s", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "gelu", sides[:1], sides[1:], [numpy_helper.from_array(weight, "w")])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    from export.running import session

    x = np.array([[[-0.7517916, -0.7, -0.8, -0.75], [20.0, -0.75, 0.1, 3.0], [0.0, 0.0, 0.0, 0.0]]], np.float32)
    (exact,) = session(plain.SerializeToString()).run(None, {"x": x})
    (found,) = session(int8.quantise(plain).SerializeToString()).run(None, {"x": x})
    steps = np.maximum(np.maximum(exact.max(-1), 0) / 223, 0.17 / 32)[..., None]
    assert (np.abs(found - exact) <= 0.5 * steps + 0.5 * np.abs(exact) / 127 + 1e-6).all()


@pytest.mark.parametrize("kind", random_checkpoint.KINDS)
def test_floats_made_of_int8_are_the_weights_within_half_a_step(tiny, kind):
    model = tiny(kind)
    copy = onnx.ModelProto()
    copy.CopyFrom(model.fp32)
    wide = widen.widen(int8.quantise(copy))
    assert not {node.op_type for node in wide.graph.node} & {"MatMulIntegerToFloat", "QuantizeLinear"}
    before, after = ({t.name: numpy_helper.to_array(t) for t in one.graph.initializer} for one in (model.fp32, wide))
    dense = [node.input[1] for node in wide.graph.node if node.op_type == "MatMul" and node.input[1] in after]
    assert len(dense) >= 12
    for name in dense:
        step = np.abs(before[name]).max(axis=0) / 127
        assert (np.abs(after[name] - before[name]) <= 0.501 * step).all()
    (words,) = [node.input[0] for node in wide.graph.node if node.op_type == "Gather" and node.input[1] == "input_ids"]
    step = np.abs(before[words]).max(axis=1, keepdims=True) / 127
    assert (np.abs(after[words] - before[words]) <= 0.501 * step).all()
