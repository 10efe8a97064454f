"""Makes a bundle of a checkpoint: python -m export MODEL --precision fp32|int8|fp16 (as `make model` calls it).

Nothing is written before the exported graph has given PyTorch's scores of the golden texts, and before padding has been
shown to move no score.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer

from . import bundle_of, card, checkpoint, fp16, graph, int8, texts, widen
from .refusal import Refused
from .running import Bundle, Runner

# fp32 against PyTorch, and any score against itself in other company (I5). A graph of floats may lose more than that to
# the order of its sums, in a large model; it is told, and refused where it is more than rounding.
PARITY, ALONE, ROUNDING = 1e-5, 1e-6, 1e-5


def main() -> int:
    arguments = argparse.ArgumentParser(prog="export", description="make a model bundle of a checkpoint")
    arguments.add_argument("model", help="folder of a transformers checkpoint, or its id on the hub")
    arguments.add_argument("--precision", choices=["fp32", "int8", "fp16"], required=True)
    arguments.add_argument("--out", type=Path, help="folder of the bundle (models/<name>-<precision>)")
    arguments.add_argument("--id", help="name that every output carries (<name>-<precision>)")
    arguments.add_argument("--revision", help="of the checkpoint on the hub")
    arguments.add_argument("--trust-code", action="store_true", help="run the checkpoint's own code")
    arguments.add_argument("--multi-label", action="store_true", help="it was trained with a sigmoid, whatever it says")
    arguments.add_argument("--labels", type=listed, help="names, in the order of the logits, separated by commas")
    arguments.add_argument("--thresholds", type=numbers, help="one for all, or one per label, separated by commas")
    arguments.add_argument("--languages", type=listed, help="that it knows, separated by commas; \"\" for all")
    arguments.add_argument("--max-length", type=int, help="tokens of a text that it sees")
    arguments.add_argument("--licence")
    arguments.add_argument("--description")
    arguments.add_argument("--provenance")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    checkpoint.quiet()
    try:
        (remake if widen.is_bundle(Path(options.model)) else make)(options)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def numbers(value: str) -> list[float]:
    return [float(part) for part in listed(value)]


class Steps:
    """One line per step, with the time it took."""

    def __init__(self):
        self.since = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        print(f"{now - self.since:6.1f} s  {what}", flush=True)
        self.since = now


def remake(options: argparse.Namespace) -> None:
    """Another precision of an int8 bundle of this export."""
    steps = Steps()
    given = Path(options.model)
    if options.precision == "int8":
        raise Refused(f"{given}: it is int8 already")
    model, described = widen.load(given)
    before = Bundle(given)
    sequences = before.ids(texts.golden())
    runner = Runner(model.SerializeToString(), before.pad_id)
    scores = runner.alone(sequences)
    require_alone(runner, sequences, scores, ROUNDING)
    steps.done(f"made floats of {given}: {len(model.graph.node)} nodes")
    if options.precision == "fp16":
        model, _ = halved(model, before.pad_id, sequences, scores, described["thresholds"], steps)
    name = options.id or f"{described['id'].removesuffix('-int8')}-{options.precision}"
    folder = options.out or texts.ROOT / "models" / name
    described["provenance"] += f" Made {options.precision} from the int8 weights of {described['id']}."
    described |= {"id": name, "precision": options.precision, "metrics": {}, "tolerance": bundle_of.TOLERANCE[options.precision]}
    finish(options, folder, model, Tokenizer.from_file(str(given / "tokenizer.json")), described, scores, card.text(given), steps)


def halved(model, pad_id: int, sequences: list, exact: np.ndarray, limits: list[float], steps: Steps):
    """fp16, its golden scores within the tolerance, and metrics that say how far."""
    model = fp16.convert(model)
    kinds = {node.op_type for node in model.graph.node}
    fused = [kind for kind in ("Attention", "SkipLayerNormalization", "BiasGelu") if kind in kinds]
    # The processor widens what it has no half-precision kernel for: right, and slow.
    found = Runner(model.SerializeToString(), pad_id).alone(sequences)
    off, same = compared(found, exact, limits)
    most, limit = float(np.abs(found - exact).max()), bundle_of.TOLERANCE["fp16"]
    steps.done(f"fp16: {len(model.graph.node)} nodes, fused: {', '.join(fused)}; golden scores at most {most:.4f} off")
    if not (off <= limit["mean"] and most <= limit["max"]):
        raise Refused(f"fp16 moves the golden scores by {off:.4f} on average and {most:.4f} at most; the tolerance is {limit}")
    return model, {"golden_max_difference_from_fp32": rounded(most), "golden_label_agreement_with_fp32": rounded(same)}


def finish(options, folder: Path, model, tokenizer, described: dict, scores: np.ndarray, readme: str, steps: Steps) -> None:
    """Writes it, and says how to go on."""
    found = bundle_of.write(folder, model, tokenizer, described, list(zip(texts.golden(), scores)), readme)
    steps.done(f"wrote {shown(folder)}, {(folder / 'model.onnx').stat().st_size / 1e6:.0f} MB")
    print(f"model hash {found}")
    gpu = " --set inference.provider=cuda" if options.precision == "fp16" else ""
    print(f"next: moodstream model verify --model {shown(folder)}{gpu}")


def make(options: argparse.Namespace) -> None:
    steps = Steps()
    wanted = checkpoint.Options(
        options.revision, options.trust_code, options.multi_label, options.labels, options.thresholds, options.max_length
    )
    source = checkpoint.load(options.model, wanted)
    size = sum(parameter.numel() for parameter in source.model.parameters())
    steps.done(f"loaded {options.model}: {source.family}, {size / 1e6:.1f} M parameters, {len(source.labels)} labels")

    model = graph.export(source)
    steps.done(f"exported to fp32, {len(model.graph.node)} nodes")

    tokenizer = bundle_of.plain_tokenizer(source)
    golden = texts.golden()
    sequences = encoded(tokenizer, golden, source.max_length)
    expected = torch_scores(source, sequences)
    runner = Runner(model.SerializeToString(), source.pad_id)
    exact = runner.alone(sequences)
    difference = float(np.abs(exact - expected).max())
    steps.done(f"{len(golden)} golden texts: at most {difference:.1e} from PyTorch's scores")
    if not difference <= PARITY:
        raise Refused(f"the exported graph is {difference:.1e} from PyTorch, and {PARITY:.0e} is the limit: not exported")
    require_alone(runner, sequences, exact, ROUNDING)

    metrics = dict(source.metrics) | {"golden_max_difference_from_pytorch": rounded(difference)}
    scores = expected
    if options.precision == "int8":
        model = int8.quantise(model)
        runner = Runner(model.SerializeToString(), source.pad_id)
        scores = runner.alone(sequences)
        require_alone(runner, sequences, scores, ALONE)
        off, same = compared(scores, expected, source.thresholds)
        metrics |= {"golden_mean_difference_from_fp32": rounded(off), "golden_label_agreement_with_fp32": rounded(same)}
        steps.done(f"int8: golden scores {off:.4f} off on average, {same:.2%} of the labels agree")
    elif options.precision == "fp16":
        model, measured = halved(model, source.pad_id, sequences, expected, source.thresholds, steps)
        metrics |= measured

    name = options.id or f"{bundle_of.slug(options.model)}-{options.precision}"
    folder = options.out or texts.ROOT / "models" / name
    given = {
        "metrics": metrics, "languages": options.languages, "licence": options.licence,
        "description": options.description, "provenance": options.provenance,
    }  # fmt: skip
    described = bundle_of.manifest(source, options.precision, name, given)
    finish(options, folder, model, tokenizer, described, scores, source.readme, steps)


def shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_absolute() and folder.is_relative_to(Path.cwd()) else folder


def rounded(value: float) -> float:
    return float(f"{value:.3g}")


def encoded(tokenizer, given: list[str], max_length: int) -> list[list[int]]:
    """Ids as the worker gets them."""
    tokenizer.enable_truncation(max_length)
    sequences = [encoding.ids for encoding in tokenizer.encode_batch(given)]
    tokenizer.no_truncation()
    return sequences


def torch_scores(source: checkpoint.Checkpoint, sequences: list[list[int]]) -> np.ndarray:
    """PyTorch's scores, each text by itself."""
    rows = []
    with torch.no_grad():
        for one in sequences:
            ids = torch.tensor([one])
            rows.append(torch.sigmoid(source.logits(ids, torch.ones_like(ids)).double())[0].numpy())
    return np.array(rows, np.float32)


def require_alone(runner: Runner, sequences: list[list[int]], scores: np.ndarray, limit: float) -> None:
    """A text's scores must be the same in company, in another place, and padded far beyond its length (I5)."""
    order = list(range(len(sequences)))
    order = order[1::2] + order[::2]
    wide = max(len(one) for one in sequences)
    padded = np.concatenate([runner.batch([sequences[index] for index in order[at : at + 16]], wide) for at in range(0, len(order), 16)])
    moved = float(np.abs(padded - scores[order]).max())
    if not moved <= limit:
        raise Refused(f"a golden text's score moves by {moved:.1e} with its neighbours or padding; {limit:.0e} is the limit")
    if moved > ALONE:
        print(f"note: a golden text's score moves by {moved:.1e} with its neighbours: a worker will classify equal texts anew")


def compared(scores: np.ndarray, expected: np.ndarray, thresholds: list[float]) -> tuple[float, float]:
    """Mean absolute difference, and the share of equal labels."""
    limits = np.array(thresholds, np.float32)
    return float(np.abs(scores - expected).mean()), float(((scores >= limits) == (expected >= limits)).mean())


if __name__ == "__main__":
    sys.exit(main())
