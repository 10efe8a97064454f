"""From PyTorch to an fp32 graph: inputs input_ids and attention_mask (int64 [batch, sequence]), output logits.

Everything else that a model wants is made within: token types are zeros, positions count from the left. Padding never
moves a score: its share of an attention is exp(-large), which is exactly 0.

The graph computes no shapes where it can be helped, since a GPU's session hands shapes to the processor.
"""

import contextlib
import inspect
import io
import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper, shape_inference

from .checkpoint import Checkpoint
from .refusal import Refused

OPSET = 20
INPUTS = ["input_ids", "attention_mask"]
OUTPUT = "logits"
# A protobuf message, which an ONNX file is, holds no more.
LARGEST = 2**31 - 1
# Encoders that take a ready-made additive mask. DeBERTa's makes its own.
MASKED = {"BertModel", "RobertaModel", "XLMRobertaModel", "DistilBertModel"}


class Logits(torch.nn.Module):
    """The model, with two inputs and one output."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.model, self.checkpoint = checkpoint.model, checkpoint

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.checkpoint.logits(input_ids, attention_mask)


def prepared(module: torch.nn.Module, positional: tuple, named: dict) -> tuple[tuple, dict]:
    """What the library makes with shapes and comparisons (mask, positions, token types), made of the inputs' values."""
    takes = inspect.signature(module.forward).parameters
    named = dict(zip(takes, positional)) | named
    ids, mask = named["input_ids"], named["attention_mask"]
    zeros = ids * 0
    if type(module).__name__ in MASKED:
        least = torch.finfo(torch.float32).min
        named["attention_mask"] = (1.0 - mask[:, None, None, :].to(torch.float32)) * least
    if "token_type_ids" in takes and named.get("token_type_ids") is None:
        named["token_type_ids"] = zeros
    # RoBERTa's own code works them out of the ids.
    counted = type(module).__name__ in {"BertModel", "DistilBertModel"}
    if counted and "position_ids" in takes and named.get("position_ids") is None:
        named["position_ids"] = torch.cumsum(zeros + 1, 1) - 1
    return (), named


def export(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The graph, weights within."""
    # Sides of 2 and more: the exporter takes 1 for a constant.
    ids = torch.full((2, 7), checkpoint.pad_id + 3)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    ids[1, 5:] = checkpoint.pad_id
    sides = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    encoders = [part for part in checkpoint.model.modules() if type(part).__name__ in MASKED | {"DebertaV2Model"}]
    hooks = [part.register_forward_pre_hook(prepared, with_kwargs=True) for part in encoders]
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                Logits(checkpoint), (ids, mask), dynamo=True, opset_version=OPSET, input_names=INPUTS,
                output_names=[OUTPUT], dynamic_shapes={name: sides for name in INPUTS}, verbose=False,
            )  # fmt: skip
    finally:
        for hook in hooks:
            hook.remove()
    model = program.model_proto
    tidy(model)
    size = model.ByteSize()
    if size > LARGEST:
        raise Refused(f"{checkpoint.source}: the fp32 graph has {size / 1e9:.1f} GB, and an ONNX file holds 2.1")
    return drop_shapes(model)


@contextlib.contextmanager
def quiet():
    """The exporter tells of steps, of torchvision's absence, and of its own future."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def tidy(model: onnx.ModelProto) -> None:
    """Takes out what only tells where in the Python code a node came from, and names the sides."""
    graph = model.graph
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*graph.input, *graph.output]:
        sides = value.type.tensor_type.shape.dim
        sides[0].dim_param = "batch"
        if value.name in INPUTS:
            sides[1].dim_param = "sequence"
        del value.metadata_props[:]
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    graph.name = "classifier"
    model.producer_name, model.producer_version = "moodstream", ""


def drop_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Reshapes that keep batch and sequence say so by zeros, and nothing is expanded that broadcasts anyway."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in shape_inference.infer_shapes(without_weights(model), data_prop=True).graph.value_info
    }

    def side(name: str) -> str | list[int]:
        """One part of a target shape: the name of a side, or numbers."""
        if name in constants:
            return numpy_helper.to_array(constants[name]).reshape(-1).tolist()
        node = makers.get(name)
        if node is None or node.op_type != "Shape" or node.input[0] not in INPUTS:
            return "?"
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        return {(0, 1): "batch", (1, 2): "sequence"}.get((bounds.get("start", 0), bounds.get("end")), "?")

    for node in graph.node:
        target = makers.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.op_type != "Concat":
            continue
        parts, source = [side(name) for name in target.input], shapes.get(node.input[0], [])
        if parts[:2] != ["batch", "sequence"] or source[:2] != parts[:2] or any(isinstance(p, str) for p in parts[2:]):
            continue
        wanted = np.array([0, 0, *(number for part in parts[2:] for number in part)], np.int64)
        name = "keep_" + "_".join(map(str, wanted.tolist()))
        if name not in constants:
            constants[name] = numpy_helper.from_array(wanted, name)
            graph.initializer.append(constants[name])
        node.input[1] = name
        # Zeros mean "as it is" only without it.
        del node.attribute[:]
    for node in graph.node:
        if node.op_type not in {"Div", "Mul", "Add", "Sub"}:
            continue
        for index, name in enumerate(node.input):
            maker = makers.get(name)
            if maker is not None and maker.op_type == "Expand" and shapes.get(node.input[1 - index]) == shapes.get(node.output[0]):
                node.input[index] = maker.input[0]
    drop_unused(graph)
    return model


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large weights as inputs: shape inference copies all that it is given."""
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.opset_import.extend(model.opset_import)
    graph = copy.graph
    graph.name = "shapes"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) > 64:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
    return copy


def drop_unused(graph: onnx.GraphProto) -> None:
    """Nodes and weights that nothing comes of."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted.update(node.input)
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)
    weights = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
