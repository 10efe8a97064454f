"""From an exported fp32 graph to int8 whose scores do not depend on the batch (I5).

Each token's activations get a scale of their own, so no other text, no padding and no order has a part in it. Each
product with a constant weight becomes

    row scale = max |x| / 127, per token          QuantizeLinear by it (an input of several products: once)
    MatMulIntegerToFloat (u8 × s8, the column's scale within), × row scale

What GELU gives is never below -0.17, so its zero point is 32 instead of 128: 223 steps for what is positive instead of
127, and no pass for the absolute value. Tables of embeddings are rows of int8 with a scale each. The head, which works
on one row per text, stays fp32, and so do products of two activations (attention's, DeBERTa's relative positions).
"""

import numpy as np
import onnx
from onnx import numpy_helper

from .blocks import attentions
from .editing import MICROSOFT, Editor

# The least that GELU gives is -0.16997.
GELU_LEAST, GELU_ZERO = 0.17, 32
ZERO = 128
# Tables below this many rows (positions, token types) are no part of the file to speak of.
LARGE_TABLE = 1024


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites the graph; only batch-independent operators are left."""
    drop_biases_of_attention(model)
    editor = Editor(model)
    inputs: dict[str, Activation] = {}
    for node in list(editor.graph.node):
        if is_dense(editor, node):
            name = node.input[0]
            if name not in inputs:
                inputs[name] = activation(editor, name, editor.tensors[node.input[1]].dims[0])
            product(editor, node, inputs[name])
        elif node.op_type == "Gather" and is_table(editor, node):
            table(editor, node)
        elif node.op_type == "LayerNormalization" and (parts := embedding_sum(editor, node.input[0])):
            # As Add and LayerNormalization the runtime would fuse them into a slower operator.
            node.input[0] = editor.emit("Sum", *parts)
            editor.keep(node)
        else:
            editor.keep(node)
    return editor.finish()


def is_dense(editor: Editor, node: onnx.NodeProto) -> bool:
    tensor = editor.tensors.get(node.input[1]) if node.op_type == "MatMul" else None
    return tensor is not None and len(tensor.dims) == 2 and node.input[0] not in editor.tensors


class Activation:
    """A quantised input: u8 values, their zero point, and a scale per row."""

    def __init__(self, values: str, zero: str, rows: str):
        self.values, self.zero, self.rows = values, zero, rows


def activation(editor: Editor, name: str, width: int) -> Activation:
    maker = editor.makers.get(name)
    if maker is not None and maker.op_type == "Gelu":
        most, steps, least, zero = name, 255 - GELU_ZERO, GELU_LEAST / GELU_ZERO, GELU_ZERO
    else:
        most, steps, least, zero = editor.emit("Abs", name), 127, 1e-8, ZERO
    most = editor.emit("ReduceMax", most, editor.integers(-1), keepdims=1)
    rows = editor.emit("Max", editor.emit("Mul", most, editor.number(1.0 / steps)), editor.number(least))
    # QuantizeLinear takes a scale per row of a matrix, and a zero point for each.
    scales = editor.emit("Reshape", rows, editor.integers(-1))
    value = numpy_helper.from_array(np.array([zero], np.uint8))
    zeros = editor.emit("ConstantOfShape", editor.emit("Shape", scales), value=value)
    matrix = editor.emit("Reshape", name, editor.integers(-1, width))
    values = editor.emit("QuantizeLinear", matrix, scales, zeros, axis=0)
    shaped = editor.emit("Reshape", values, editor.emit("Shape", name))
    return Activation(shaped, editor.number(zero, np.uint8), rows)


def product(editor: Editor, node: onnx.NodeProto, source: Activation) -> None:
    name = node.input[1]
    values, scales = per_column(editor.array(name))
    columns = scales.size
    whole = editor.emit(
        "MatMulIntegerToFloat", source.values, editor.constant(f"{name}.int8", values), editor.number(1.0),
        editor.constant(f"{name}.scale", scales), source.zero,
        editor.constant(f"int8_zeros_{columns}", np.zeros(columns, np.int8)), domain=MICROSOFT,
    )  # fmt: skip
    editor.emit("Mul", whole, source.rows, out=node.output[0])


def per_column(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 with a scale per column."""
    scales = np.abs(weight).max(axis=0) / 127
    scales[scales == 0] = 1
    return np.clip(np.round(weight / scales), -127, 127).astype(np.int8), scales.astype(np.float32)


def is_table(editor: Editor, node: onnx.NodeProto) -> bool:
    tensor = editor.tensors.get(node.input[0])
    return tensor is not None and len(tensor.dims) == 2 and tensor.dims[0] >= LARGE_TABLE and tensor.data_type == 1


def table(editor: Editor, node: onnx.NodeProto) -> None:
    name, index = node.input
    values, scales = per_column(editor.array(name).T)
    rows = editor.emit("Gather", editor.constant(f"{name}.int8", values.T), index, axis=0)
    rows = editor.emit("Cast", rows, to=onnx.TensorProto.FLOAT)
    scale = editor.emit("Gather", editor.constant(f"{name}.scale", scales[:, None]), index, axis=0)
    editor.emit("Mul", rows, scale, out=node.output[0])


def embedding_sum(editor: Editor, name: str) -> list[str]:
    """The tables' rows that a chain of Adds sums; none where it sums anything else."""
    node = editor.makers.get(name)
    if node is None or editor.uses[name] != 1:
        return []
    if node.op_type == "Gather" and node.input[0] in editor.tensors:
        return [name]
    if node.op_type != "Add":
        return []
    parts = [embedding_sum(editor, one) for one in node.input]
    return [one for part in parts for one in part] if all(parts) else []


def drop_biases_of_attention(model: onnx.ModelProto) -> None:
    """Two biases of an attention need no pass of their own. The key's adds the same to all of a query's products, and
    softmax takes that away; the value's comes through unchanged, since shares add up to 1, and goes into the next
    dense layer's bias."""
    editor = Editor(model)
    replaced: dict[str, str] = {}
    changed: dict[str, np.ndarray] = {}
    for block in attentions(editor):
        after = [node for node in editor.users.get(block.output, []) if is_dense(editor, node)]
        following = editor.bias_of(after[0]) if len(after) == 1 == editor.uses[block.output] else None
        if block.key.bias is not None:
            product_, add = block.key.nodes
            replaced[add.output[0]] = product_.output[0]
        if block.value.bias is not None and following is not None and editor.uses[following[1]] == 1:
            product_, add = block.value.nodes
            replaced[add.output[0]] = product_.output[0]
            shift = editor.array(block.value.bias).astype(np.float64) @ editor.array(after[0].input[1]).astype(np.float64)
            changed[following[1]] = (editor.array(following[1]) + shift).astype(np.float32)
    for name, value in changed.items():
        editor.tensors[name].CopyFrom(numpy_helper.from_array(value, name))
    for node in editor.graph.node:
        for index, name in enumerate(node.input):
            if name in replaced and node.output[0] not in replaced:
                node.input[index] = replaced[name]
        editor.keep(node)
    editor.finish()
