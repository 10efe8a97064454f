"""Finds in an exported fp32 graph what a transformer's layer is made of: attention, and the norms that end its halves."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from .editing import Editor


@dataclass
class Dense:
    """x · weight + bias; names of constants, the bias's None where there is none."""

    source: str
    weight: str
    bias: str | None
    nodes: list[onnx.NodeProto]


@dataclass
class Attention:
    """Self-attention of several heads, up to the joined heads (before the dense layer that follows)."""

    query: Dense
    key: Dense
    value: Dense
    heads: int
    scale: float
    mask: str
    output: str
    nodes: list[onnx.NodeProto]


def attribute(node: onnx.NodeProto, name: str, default=None):
    for one in node.attribute:
        if one.name == name:
            return helper.get_attribute_value(one)
    return default


def dense(editor: Editor, name: str) -> Dense | None:
    """The dense layer that makes a value."""
    node, bias, nodes = editor.makers.get(name), None, []
    if node is not None and node.op_type == "Add":
        constants = [one for one in node.input if one in editor.tensors]
        if len(constants) != 1 or len(editor.tensors[constants[0]].dims) != 1:
            return None
        nodes, bias = [node], constants[0]
        (other,) = [one for one in node.input if one != bias]
        node = editor.makers.get(other)
    if node is None or node.op_type != "MatMul" or node.input[1] not in editor.tensors:
        return None
    return Dense(node.input[0], node.input[1], bias, [node, *nodes])


def heads_of(editor: Editor, name: str, order: list[int]) -> tuple[Dense, int, list[onnx.NodeProto]] | None:
    """A dense layer whose columns were split into heads and put in `order`."""
    turned = editor.makers.get(name)
    if turned is None or turned.op_type != "Transpose" or attribute(turned, "perm") != order:
        return None
    split = editor.makers.get(turned.input[0])
    if split is None or split.op_type != "Reshape" or (shape := editor.array(split.input[1])) is None or len(shape) != 4:
        return None
    found = dense(editor, split.input[0])
    if found is None:
        return None
    columns = editor.tensors[found.weight].dims[1]
    heads = int(shape[2]) if shape[2] > 0 else columns // int(shape[3])
    return found, heads, [*found.nodes, split, turned]


def attentions(editor: Editor) -> list[Attention]:
    """Every self-attention, in the order of the graph."""
    found = []
    for softmax in editor.graph.node:
        if softmax.op_type == "Softmax" and (one := attention(editor, softmax)) is not None:
            found.append(one)
    return found


def attention(editor: Editor, softmax: onnx.NodeProto) -> Attention | None:
    masked = editor.makers.get(softmax.input[0])
    if masked is None or masked.op_type != "Add":
        return None
    for scaled_name, mask in [masked.input, reversed(masked.input)]:
        scaled = editor.makers.get(scaled_name)
        if scaled is not None and scaled.op_type in {"Mul", "Div"} and scaled.input[1] in editor.tensors:
            break
    else:
        return None
    number = float(editor.array(scaled.input[1]))
    products = editor.makers.get(scaled.input[0])
    users = editor.users.get(softmax.output[0], [])
    if products is None or products.op_type != "MatMul" or len(users) != 1 or users[0].op_type != "MatMul":
        return None
    query = heads_of(editor, products.input[0], [0, 2, 1, 3])
    key = heads_of(editor, products.input[1], [0, 2, 3, 1])
    value = heads_of(editor, users[0].input[1], [0, 2, 1, 3])
    if query is None or key is None or value is None:
        return None
    if len({query[0].source, key[0].source, value[0].source}) != 1:
        return None
    turned = editor.users[users[0].output[0]][0]
    joined = editor.users[turned.output[0]][0]
    if turned.op_type != "Transpose" or joined.op_type != "Reshape":
        return None
    nodes = [*query[2], *key[2], *value[2], products, scaled, masked, softmax, users[0], turned, joined]
    scale = number if scaled.op_type == "Mul" else 1.0 / number
    return Attention(query[0], key[0], value[0], query[1], scale, mask, joined.output[0], nodes)


def joined(editor: Editor, block: Attention) -> tuple[np.ndarray, np.ndarray]:
    """Weight [hidden, 3 × hidden] and bias of query, key and value side by side."""
    parts = [block.query, block.key, block.value]
    weights = [editor.array(part.weight) for part in parts]
    biases = [
        np.zeros(weight.shape[1], np.float32) if part.bias is None else editor.array(part.bias)
        for part, weight in zip(parts, weights)
    ]
    return np.concatenate(weights, axis=1), np.concatenate(biases)


@dataclass
class Residual:
    """LayerNormalization(dense + skip)."""

    product: str
    bias: str | None
    skip: str
    scale: str
    shift: str
    epsilon: float
    norm: onnx.NodeProto
    nodes: list[onnx.NodeProto]


def residual(editor: Editor, norm: onnx.NodeProto) -> Residual | None:
    """What ends a half of a layer, where `norm` does."""
    total = editor.makers.get(norm.input[0])
    if norm.op_type != "LayerNormalization" or total is None or total.op_type != "Add":
        return None
    for new, skip in [tuple(total.input), tuple(reversed(total.input))]:
        found = dense(editor, new)
        if found is not None:
            rest = [node for node in found.nodes if node.op_type == "Add"]
            return Residual(
                found.nodes[0].output[0], found.bias, skip, norm.input[1], norm.input[2],
                attribute(norm, "epsilon", 1e-5), norm, [*rest, total, norm],
            )  # fmt: skip
    return None
