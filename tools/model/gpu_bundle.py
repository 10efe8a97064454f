"""Makes a model bundle for a GPU: gpu_bundle.py (roberta-base | BUNDLE) FOLDER --precision fp32|fp16 --texts FILE

roberta-base: the reference model at its full size (DESIGN: roberta-base without pooler, mean over the attended
tokens, L2 normalise, Linear(768, 512), LayerNorm, GELU, Linear(512, 11)) with random weights and a byte-level
tokenizer trained on the texts. It labels nothing sensibly; it is there to be measured.

BUNDLE: the int8 starter model, its weights made floats again, so that a GPU can run it whole.

fp32 uses ONNX's own operators. fp16 uses ONNX Runtime's fused ones (Attention, SkipLayerNormalization, BiasGelu);
what is before and after the encoder stays fp32. Neither computes a shape, so that no node needs the processor. The
golden scores of both are those of the fp32 graph on the processor.

    python3 -m pip install -r tools/model/requirements-gpu.txt
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LABELS = "anger anticipation disgust fear joy love optimism pessimism sadness surprise trust".split()
HERE = Path(__file__).parent
STARTER = HERE.parents[1] / "models" / "starter"
MAX_LENGTH = 128


class Encoder:
    """Shape and weights of a BERT-like encoder and the head on it, by the names of Hugging Face's modules."""

    def __init__(self, layers: int, hidden: int, heads: int, epsilon: float, weights: dict[str, np.ndarray]):
        self.layers, self.hidden, self.heads, self.epsilon, self.weights = layers, hidden, heads, epsilon, weights


def random_roberta(layers: int) -> Encoder:
    """Weights as training begins with them: normal, 0.02."""
    hidden, inner, vocabulary, positions, head = 768, 3072, 50265, 514, 512
    random = np.random.default_rng(7)
    weights: dict[str, np.ndarray] = {}

    def matrix(name: str, rows: int, columns: int, spread: float = 0.02) -> None:
        weights[f"{name}.weight"] = random.normal(0, spread, (rows, columns)).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int, spread: float = 0.02) -> None:
        matrix(name, inputs, outputs, spread)
        weights[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name: str, size: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = np.ones(size, np.float32), np.zeros(size, np.float32)

    matrix("words", vocabulary, hidden)
    # The row of the only token type is added to each.
    matrix("positions", positions, hidden)
    norm("norm", hidden)
    for layer in range(layers):
        for part in ["query", "key", "value", "output"]:
            linear(f"{layer}.attention.{part}", hidden, hidden)
        norm(f"{layer}.attention.norm", hidden)
        linear(f"{layer}.inner", hidden, inner)
        linear(f"{layer}.outer", inner, hidden)
        norm(f"{layer}.norm", hidden)
    linear("head.0", hidden, head, 1.0)
    norm("head.1", head)
    linear("head.2", head, len(LABELS), 0.1)
    return Encoder(layers, hidden, 12, 1e-5, weights)


def dequantised(folder: Path) -> Encoder:
    """The starter's weights: its graph keeps the names of the modules that it was exported from."""
    graph = onnx.load(folder / "model.onnx").graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights: dict[str, np.ndarray] = {}

    def copy(new: str, old: str, kinds: tuple[str, ...] = ("weight", "bias")) -> None:
        for kind in kinds:
            weights[f"{new}.{kind}"] = stored[f"{old}.{kind}"]

    weights["words.weight"] = (
        stored["enc.embeddings.word_embeddings.weight_q"].astype(np.float32)
        * stored["enc.embeddings.word_embeddings.weight_s"]
    )
    weights["positions.weight"] = (
        stored["enc.embeddings.position_embeddings.weight"] + stored["enc.embeddings.token_type_embeddings.weight"][0]
    )
    copy("norm", "enc.embeddings.LayerNorm")
    # One product of integers per layer and part, each with a scale per column.
    products = {node.name: node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
    layers = 1 + max(int(name.split("layer.")[1].split("/")[0]) for name in products)
    parts = {
        "attention.query": "attention/self/query",
        "attention.key": "attention/self/key",
        "attention.value": "attention/self/value",
        "attention.output": "attention/output/dense",
        "inner": "intermediate/dense",
        "outer": "output/dense",
    }
    for layer in range(layers):
        old = f"enc.encoder.layer.{layer}"
        for new, module in parts.items():
            (name,) = [weight for node, weight in products.items() if f"layer.{layer}/{module}/MatMul" in node]
            scale = stored[name.removesuffix("_q") + "_s"]
            weights[f"{layer}.{new}.weight"] = stored[name].astype(np.float32) * scale
            copy(f"{layer}.{new}", f"{old}.{module.replace('/', '.')}", ("bias",))
        copy(f"{layer}.attention.norm", f"{old}.attention.output.LayerNorm")
        copy(f"{layer}.norm", f"{old}.output.LayerNorm")
    for new, module in [("head.0", "mlp.0"), ("head.1", "mlp.1"), ("head.2", "mlp.4")]:
        copy(new, module)
    for name in ["head.0.weight", "head.2.weight"]:
        weights[name] = weights[name].T
    hidden = weights["norm.weight"].size
    return Encoder(layers, hidden, 12, 1e-12, weights)


class Graph:
    """Nodes and weights; each method adds an operator and returns the name of its output."""

    def __init__(self, encoder: Encoder, half: bool):
        self.encoder, self.half = encoder, half
        self.nodes, self.constants = [], {}

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def integers(self, *values: int) -> str:
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"number_{value}", np.array(value, self.type()))

    def type(self) -> type:
        return np.float16 if self.half else np.float32

    def weight(self, name: str) -> str:
        return self.constant(name, self.encoder.weights[name].astype(self.type()))

    def linear(self, value: str, name: str) -> str:
        product = self.add("MatMul", value, self.weight(f"{name}.weight"))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, value: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", value, scale, bias, axis=-1, epsilon=self.encoder.epsilon)

    def gelu(self, value: str) -> str:
        error = self.add("Erf", self.add("Div", value, self.number(math.sqrt(2.0))))
        return self.add("Mul", self.add("Mul", value, self.add("Add", error, self.number(1.0))), self.number(0.5))

    def layer(self, value: str, bias: str, layer: int) -> str:
        """One layer of ONNX's own operators; `bias` is 0 for a token and very small for padding."""
        encoder = self.encoder
        size = encoder.hidden // encoder.heads

        def heads(part: str, order: list[int]) -> str:
            split = self.add(
                "Reshape", self.linear(value, f"{layer}.attention.{part}"), self.integers(0, 0, encoder.heads, size)
            )
            return self.add("Transpose", split, perm=order)

        products = self.add("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
        products = self.add("Div", products, self.number(math.sqrt(size)))
        shares = self.add("Softmax", self.add("Add", products, bias), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", shares, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        mixed = self.add("Reshape", mixed, self.integers(0, 0, encoder.hidden))
        mixed = self.linear(mixed, f"{layer}.attention.output")
        value = self.norm(self.add("Add", mixed, value), f"{layer}.attention.norm")
        inner = self.gelu(self.linear(value, f"{layer}.inner"))
        return self.norm(self.add("Add", self.linear(inner, f"{layer}.outer"), value), f"{layer}.norm")

    def fused_layer(self, value: str, mask: str, layer: int) -> str:
        """The same of ONNX Runtime's."""
        encoder, microsoft = self.encoder, "com.microsoft"

        def joined(kind: str) -> str:
            parts = [encoder.weights[f"{layer}.attention.{part}.{kind}"] for part in ["query", "key", "value"]]
            return self.constant(f"{layer}.attention.{kind}", np.concatenate(parts, axis=-1).astype(self.type()))

        def skip_norm(new: str, dense: str, norm: str) -> str:
            scale, bias = self.weight(f"{norm}.weight"), self.weight(f"{norm}.bias")
            inputs = [new, value, scale, bias, self.weight(f"{dense}.bias")]
            return self.add("SkipLayerNormalization", *inputs, domain=microsoft, epsilon=encoder.epsilon)

        mixed = self.add(
            "Attention", value, joined("weight"), joined("bias"), mask, domain=microsoft, num_heads=encoder.heads
        )
        mixed = self.add("MatMul", mixed, self.weight(f"{layer}.attention.output.weight"))
        value = skip_norm(mixed, f"{layer}.attention.output", f"{layer}.attention.norm")
        inner = self.add("MatMul", value, self.weight(f"{layer}.inner.weight"))
        inner = self.add("BiasGelu", inner, self.weight(f"{layer}.inner.bias"), domain=microsoft)
        outer = self.add("MatMul", inner, self.weight(f"{layer}.outer.weight"))
        return skip_norm(outer, f"{layer}.outer", f"{layer}.norm")

    def build(self, first_position: int) -> onnx.ModelProto:
        half, self.half = self.half, False
        mask = "attention_mask"
        # Padding is on the right; what its positions are is of no consequence.
        positions = self.add("CumSum", mask, self.constant("second", np.array(1, np.int64)))
        positions = self.add("Mul", positions, mask)
        positions = self.add("Add", positions, self.integers(first_position - 1))
        positions = self.add("Max", positions, self.integers(0))
        words = self.add("Gather", self.weight("words.weight"), "input_ids")
        value = self.norm(self.add("Add", words, self.add("Gather", self.weight("positions.weight"), positions)), "norm")
        attended = self.add("Cast", self.add("Unsqueeze", mask, self.integers(2)), to=TensorProto.FLOAT)
        if half:
            self.half = True
            value = self.add("Cast", value, to=TensorProto.FLOAT16)
            index = self.lengths(self.add("Cast", mask, to=TensorProto.INT32))
            for layer in range(self.encoder.layers):
                value = self.fused_layer(value, index, layer)
            value = self.add("Cast", value, to=TensorProto.FLOAT)
            self.half = False
        else:
            row = self.add("Cast", self.add("Unsqueeze", mask, self.integers(1, 2)), to=TensorProto.FLOAT)
            bias = self.add("Mul", self.add("Sub", row, self.number(1.0)), self.number(10000.0))
            for layer in range(self.encoder.layers):
                value = self.layer(value, bias, layer)
        total = self.add("ReduceSum", self.add("Mul", value, attended), self.integers(1), keepdims=0)
        mean = self.add("Div", total, self.add("ReduceSum", attended, self.integers(1), keepdims=0))
        length = self.add("ReduceL2", mean, self.integers(1), keepdims=1)
        unit = self.add("Div", mean, self.add("Max", length, self.number(1e-12)))
        hidden = self.gelu(self.norm(self.linear(unit, "head.0"), "head.1"))
        self.linear(hidden, "head.2")
        self.nodes[-1].output[0] = "logits"
        return self.model()

    def lengths(self, mask: str) -> str:
        """What Attention takes instead of a mask: each text's tokens, and where the rows of each begin. With a mask it
        multiplies whole matrices; with this it takes its memory-efficient kernel, and roberta-base is 11 % faster."""
        tokens = self.add("ReduceSum", mask, self.integers(1), keepdims=0)
        one = self.constant("one", np.array(1, np.int32))
        width = self.add("ReduceSum", self.add("Max", mask, one), self.integers(1), keepdims=0)
        ends = self.add("CumSum", width, self.constant("first", np.array(0, np.int64)))
        zero = self.constant("zero", np.array([0], np.int32))
        return self.add("Concat", tokens, zero, ends, zero, ends, axis=0)

    def model(self) -> onnx.ModelProto:
        sides = ["batch", "sequence"]
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, sides) for n in ["input_ids", "attention_mask"]]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "encoder", inputs, outputs, constants)
        versions = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=9, producer_name="gpu_bundle.py")


def train_tokenizer(texts: list[str], file: Path) -> None:
    """RoBERTa's kind: byte-level pairs, and its special tokens under their usual ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=50265, min_frequency=2, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(file))


def main() -> None:
    arguments = argparse.ArgumentParser(description="make a model bundle for a GPU")
    arguments.add_argument("source", help="roberta-base, or the folder of the starter model")
    arguments.add_argument("folder", type=Path, help="of the new bundle")
    arguments.add_argument("--precision", choices=["fp32", "fp16"], required=True)
    arguments.add_argument("--texts", type=Path, help="JSON lines with posts, for roberta-base's tokenizer")
    arguments.add_argument("--layers", type=int, default=12, help="of roberta-base")
    options = arguments.parse_args()

    folder: Path = options.folder
    folder.mkdir(parents=True)
    golden = [json.loads(line)["text"] for line in (STARTER / "golden.jsonl").read_text("utf-8").splitlines()]
    if options.source == "roberta-base":
        if options.texts is None:
            sys.exit("roberta-base needs --texts for its tokenizer")
        encoder, first_position, pad = random_roberta(options.layers), 2, 1
        lines = options.texts.read_text("utf-8").splitlines()
        train_tokenizer([str(json.loads(line).get("text", "")) for line in lines], folder / "tokenizer.json")
        manifest = {
            "id": "random-roberta-base", "description": "roberta-base with random weights, to be measured.",
            "labels": LABELS, "activation": "sigmoid", "thresholds": [0.5] * len(LABELS), "languages": [],
            "metrics": {}, "licence": "This project's.", "provenance": "Random numbers.",
        }  # fmt: skip
    else:
        source = Path(options.source)
        encoder, first_position, pad = dequantised(source), 0, 0
        shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
        manifest = json.loads((source / "model.json").read_text("utf-8"))
        manifest["provenance"] += f" Made {options.precision} from the int8 weights of {manifest['id']}."
        manifest["metrics"] = {}
    most = {"fp32": (1e-4, 1e-4), "fp16": (0.005, 0.05)}[options.precision]
    manifest |= {
        "id": f"{manifest['id']}-{options.precision}", "max_length": MAX_LENGTH, "pad_id": pad,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"}, "output": "logits",
        "precision": options.precision, "tolerance": {"mean": most[0], "max": most[1]}, "files": {},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    lines = [json.dumps({"text": text, "scores": []}, ensure_ascii=False) for text in golden]
    (folder / "golden.jsonl").write_text("\n".join(lines) + "\n", "utf-8")

    onnx.save(Graph(encoder, half=False).build(first_position), folder / "model.onnx")
    bundle = [sys.executable, str(HERE / "bundle.py"), str(folder)]
    subprocess.run(bundle, check=True)
    if options.precision == "fp16":
        onnx.save(Graph(encoder, half=True).build(first_position), folder / "model.onnx")
        subprocess.run([*bundle, "--hashes"], check=True)


if __name__ == "__main__":
    main()
