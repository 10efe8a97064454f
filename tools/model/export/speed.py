"""Per-token int8 against dynamic int8 and fp32: python -m export.speed FP32_BUNDLE INT8_BUNDLE [--texts FILE]

Dynamic int8 is made of the fp32 bundle's graph by onnxruntime.quantization.quantize_dynamic, per channel. One thread,
texts sorted by length, micro-batches of 1,024 padded tokens; the three take turns, and each counts the median of its
rounds in processor time, so that a neighbour on the machine takes no part in it. Then how far the products are from
what the processor's VNNI units give in a plain MatMulInteger.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import texts
from .running import Bundle, Runner, cut, session


def dynamic(fp32: Path, folder: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    out = folder / "dynamic.onnx"
    quantize_dynamic(str(fp32 / "model.onnx"), str(out), per_channel=True, weight_type=QuantType.QInt8)
    return out


def race(runners: dict[str, Runner], sequences: list[list[int]], rounds: int) -> dict[str, float]:
    """Seconds of processor time for all texts, by name."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    batches = [[sequences[index] for index in part] for part in cut(sequences, order)]
    for runner in runners.values():
        runner.batch(batches[-1])
    spent: dict[str, list[float]] = {name: [] for name in runners}
    for at in range(rounds):
        for name, runner in runners.items():
            since = time.thread_time()
            for batch in batches:
                runner.batch(batch)
            spent[name].append(time.thread_time() - since)
        print(f"\rround {at + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {name: float(np.median(times)) for name, times in spent.items()}


def multiplications(model: Path) -> int:
    """Operations (a multiplication and an addition are two) per token in integer products."""
    graph = onnx.load(model).graph
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return sum(2 * int(np.prod(shapes[node.input[1]])) for node in graph.node if node.op_type == "MatMulIntegerToFloat")


def product(operator: str, rows: int, inner: int, columns: int) -> float:
    """Operations per second of one product of u8 and s8, the best of twenty."""
    random = np.random.default_rng(7)
    weight = random.integers(-127, 128, (inner, columns)).astype(np.int8)
    node = helper.make_node(operator, ["a", "w", "zero"], ["y"])
    graph = helper.make_graph(
        [node], "product", [helper.make_tensor_value_info("a", TensorProto.UINT8, [rows, inner])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [rows, columns])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array(128, np.uint8), "zero")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    run = session(model.SerializeToString())
    values = {"a": random.integers(0, 256, (rows, inner)).astype(np.uint8)}
    best = np.inf
    for _ in range(20):
        since = time.thread_time()
        run.run(None, values)
        best = min(best, time.thread_time() - since)
    return 2 * rows * inner * columns / best


def main() -> int:
    arguments = argparse.ArgumentParser(prog="export.speed", description="per-token int8 against dynamic int8, in one run")
    arguments.add_argument("fp32", type=Path)
    arguments.add_argument("int8", type=Path)
    arguments.add_argument("--texts", type=Path, help="(the project's own)")
    arguments.add_argument("--count", type=int, default=600)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    found = Bundle(options.int8)
    given = texts.read(options.texts) if options.texts else texts.own()
    sequences = found.ids([text for text in given if text.strip()][: options.count])
    pad = found.pad_id
    with tempfile.TemporaryDirectory() as folder:
        made = dynamic(options.fp32, Path(folder))
        runners = {"dynamic int8": Runner(str(made), pad), "per-token int8": found, "fp32": Runner(str(options.fp32 / "model.onnx"), pad)}
        spent = race(runners, sequences, options.rounds)
    count, tokens = len(sequences), sum(map(len, sequences))
    print(f"{count} texts of {tokens / count:.1f} tokens, one thread, medians of {options.rounds} rounds in turns")
    for name, seconds in spent.items():
        print(f"{name:<15}{count / seconds:8.0f} posts/s{spent['dynamic int8'] / seconds:8.3f} of dynamic int8")
    peak = max(product("MatMulInteger", 1024, inner, 384) for inner in (384, 768, 1536))
    done = multiplications(options.int8 / "model.onnx") * tokens / spent["per-token int8"]
    print(f"a plain MatMulInteger: {peak / 1e9:.0f} GOP/s; the whole of per-token int8: {done / 1e9:.0f} GOP/s, {done / peak:.0%} of it")
    return 0 if spent["dynamic int8"] / spent["per-token int8"] >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
