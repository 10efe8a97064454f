"""From an int8 bundle of this export back to floats: its weights as they are, for a GPU or to be rounded to 16 bits.

What int8.py did to a graph is undone, operator by operator; a bundle's checkpoint is not needed.
"""

import json
from pathlib import Path

import numpy as np
import onnx

from .editing import Editor
from .refusal import Refused


def is_bundle(folder: Path) -> bool:
    return (folder / "model.onnx").is_file() and (folder / "model.json").is_file()


def load(folder: Path) -> tuple[onnx.ModelProto, dict]:
    """The graph in fp32, and the manifest."""
    manifest = json.loads((folder / "model.json").read_text("utf-8"))
    if manifest["precision"] != "int8":
        raise Refused(f"{folder}: it is a bundle in {manifest['precision']}; only int8 ones are made floats again")
    return widen(onnx.load(folder / "model.onnx"), folder), manifest


def widen(model: onnx.ModelProto, name: Path | str = "the graph") -> onnx.ModelProto:
    editor = Editor(model)
    if "MatMulIntegerToFloat" not in {node.op_type for node in editor.graph.node}:
        raise Refused(f"{name}: its int8 is of another kind than this export makes; export its checkpoint instead")
    for node in list(editor.graph.node):
        makers = [editor.makers.get(one) for one in node.input]
        kinds = [maker.op_type if maker is not None else "" for maker in makers]
        if node.op_type == "Mul" and kinds[0] == "MatMulIntegerToFloat":
            values, weight, scale = makers[0].input[0], *(editor.array(makers[0].input[index]) for index in (1, 3))
            floats = editor.constant(makers[0].input[1].removesuffix(".int8"), weight.astype(np.float32) * scale)
            editor.emit("MatMul", source(editor, values), floats, out=node.output[0])
        elif node.op_type == "Mul" and kinds == ["Cast", "Gather"]:
            rows = editor.makers[makers[0].input[0]]
            table = editor.array(rows.input[0]).astype(np.float32) * editor.array(makers[1].input[0])
            floats = editor.constant(rows.input[0].removesuffix(".int8"), table)
            editor.emit("Gather", floats, rows.input[1], out=node.output[0], axis=0)
        else:
            editor.keep(node)
    return editor.finish()


def source(editor: Editor, values: str) -> str:
    """What was quantised: before the reshape, QuantizeLinear, and the reshape to a matrix."""
    for _ in range(3):
        values = editor.makers[values].input[0]
    return values
