"""From PyTorch to an fp32 graph: inputs input_ids and attention_mask (int64 [batch, sequence]), output logits.

Everything else that a model wants is made within: token types are zeros, positions count from the left as the
model's own code does. Padding never moves a score: its attention is exp(-large), which is exactly 0.
"""

import contextlib
import io
import logging
import warnings

import onnx
import torch

from .checkpoint import Checkpoint
from .refusal import Refused

OPSET = 18
INPUTS = ["input_ids", "attention_mask"]
OUTPUT = "logits"
# A protobuf message, which an ONNX file is, holds no more.
LARGEST = 2**31 - 1


class Logits(torch.nn.Module):
    """The model, with two inputs and one output."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.model, self.checkpoint = checkpoint.model, checkpoint

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.checkpoint.logits(input_ids, attention_mask)


def export(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The graph, weights within."""
    # Sides of 2 and more: the exporter takes 1 for a constant.
    ids = torch.full((2, 7), checkpoint.pad_id + 3)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    ids[1, 5:] = checkpoint.pad_id
    sides = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Logits(checkpoint), (ids, mask), dynamo=True, opset_version=OPSET, input_names=INPUTS,
            output_names=[OUTPUT], dynamic_shapes={name: sides for name in INPUTS}, verbose=False,
        )  # fmt: skip
    model = program.model_proto
    tidy(model)
    size = model.ByteSize()
    if size > LARGEST:
        raise Refused(f"the fp32 graph has {size / 1e9:.1f} GB, and an ONNX file holds 2.1; take PRECISION=int8 or fp16")
    return model


def tidy(model: onnx.ModelProto) -> None:
    """Takes out what only tells where in the Python code a node came from, and names the sides."""
    graph = model.graph
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.value_info[:]
    for value in [*graph.input, *graph.output]:
        sides = value.type.tensor_type.shape.dim
        sides[0].dim_param = "batch"
        if value.name in INPUTS:
            sides[1].dim_param = "sequence"
        del value.metadata_props[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    graph.name = "classifier"
    model.producer_name, model.producer_version = "moodstream", ""
