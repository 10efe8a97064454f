"""Makes the tiny ONNX graphs under tests/fixtures/model, each with one thing to test.

    pip install onnx numpy && python tools/model/make_fixtures.py

Every graph adds up one row of a table per attended token, so a test can work out the scores:
token 4 is worth (2, -1), 5 (-1, 2), 6 is not a number, and 7 is not in the table.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).parents[2] / "tests" / "fixtures" / "model"
TABLE = np.array(
    [[0, 0], [0.1, 0.2], [0, 0], [0, 0], [2, -1], [-1, 2], [np.nan, np.nan]], dtype=np.float32
)


def make(name: str, nodes: list, output: list) -> None:
    """Writes a graph that ends in `logits` of the given shape."""
    sequence = ["batch", "sequence"]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
            helper.make_node("Cast", ["column"], ["attended"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["rows", "attended"], ["per_token"]),
            *nodes,
        ],
        name,
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, sequence),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, sequence),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output)],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "tokens"),
            numpy_helper.from_array(np.array([0], dtype=np.int64), "texts"),
            numpy_helper.from_array(np.array([True, True]), "both"),
            numpy_helper.from_array(np.array([1e-3], dtype=np.float32), "little"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model, full_check=True)
    save(model, FOLDER / f"{name}.onnx")


def main() -> None:
    """Writes every fixture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    total = helper.make_node("ReduceSum", ["per_token", "tokens"], ["logits"], keepdims=0)
    make("tiny", [total], ["batch", 2])
    # The runtime cannot know how many columns Compress keeps.
    make(
        "open_width",
        [
            helper.make_node("ReduceSum", ["per_token", "tokens"], ["own"], keepdims=0),
            helper.make_node("Compress", ["own", "both"], ["logits"], axis=1),
        ],
        ["batch", "labels"],
    )
    make("per_token", [helper.make_node("Identity", ["per_token"], ["logits"])], ["batch", "sequence", 2])
    make(
        "batch_dependent",
        [
            helper.make_node("ReduceSum", ["per_token", "tokens"], ["own"], keepdims=0),
            helper.make_node("ReduceSum", ["own", "texts"], ["everyone"], keepdims=1),
            helper.make_node("Mul", ["everyone", "little"], ["others"]),
            helper.make_node("Add", ["own", "others"], ["logits"]),
        ],
        ["batch", 2],
    )


if __name__ == "__main__":
    main()
