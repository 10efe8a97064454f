"""Loads a checkpoint from a folder or the hub, or refuses it by name.

Only multi-label classifiers pass: a worker's scores are sigmoids, each label by itself, and a model that was trained
with a softmax over its labels would give wrong ones without any error. A checkpoint's own code runs only where it is
this project's (emoaxis/), the reference checkpoint's, or where the caller says so.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from . import card
from .refusal import Refused

# The published reference model: its code is run, and its labels are known, where its configuration names none.
REFERENCE = "Hidden-States/roberta-base-semeval"
REFERENCE_LABELS = "anger anticipation disgust fear joy love optimism pessimism sadness surprise trust".split()
FAMILIES = {"bert", "roberta", "distilbert", "deberta-v2", "xlm-roberta"}
OWN_CODE = Path(__file__).parents[1] / "emoaxis"
# What `hf download` is asked for: no weights of other frameworks.
FILES = ["*.json", "*.safetensors", "pytorch_model*.bin", "*.py", "*.txt", "*.model", "README.md", "LICENSE*"]


@dataclass
class Options:
    """What the caller says beyond the checkpoint's name."""

    revision: str | None = None
    trust_code: bool = False
    multi_label: bool = False
    labels: list[str] | None = None
    thresholds: list[float] | None = None
    max_length: int | None = None


@dataclass
class Checkpoint:
    """A classifier, ready to run on the processor in fp32."""

    source: str
    revision: str | None
    family: str
    model: torch.nn.Module
    tokenizer: object
    labels: list[str]
    thresholds: list[float]
    max_length: int
    pad_id: int
    card: dict
    # What training measured: metrics.json beside the weights, where it is.
    metrics: dict

    def logits(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Float [texts, labels], whatever the model returns beside it."""
        return chosen(self.model(input_ids=input_ids, attention_mask=attention_mask), len(self.labels))


def chosen(outputs: object, labels: int) -> torch.Tensor:
    """The logits among a model's outputs: by name, else the last of a tuple that has one column per label."""
    named = getattr(outputs, "logits", None)
    if named is not None:
        return named
    parts = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    for part in reversed(parts):
        if isinstance(part, torch.Tensor) and part.dim() == 2 and part.shape[1] == labels:
            return part
    raise Refused(f"the model returns no logits: no output of [texts, {labels}] among {len(parts)}")


def load(source: str, options: Options) -> Checkpoint:
    """The checkpoint in a folder, or on the hub."""
    folder, revision = located(source, options.revision)
    raw = read_config(folder)
    own_code = "AutoModel" in raw.get("auto_map", {}) or "AutoModelForSequenceClassification" in raw.get("auto_map", {})
    if own_code:
        require_trust(source, folder, options)
    else:
        require_multi_label(source, raw, options)
    model = load_model(source, folder, raw, own_code)
    config = model.config
    labels = named_labels(source, config, options)
    tokenizer = load_tokenizer(source, folder, own_code)
    metrics = folder / "metrics.json"
    return Checkpoint(
        source=source,
        revision=revision,
        family=getattr(getattr(config, "encoder", config), "model_type", config.model_type),
        model=model,
        tokenizer=tokenizer,
        labels=labels,
        thresholds=thresholds(source, config, labels, options),
        max_length=longest(source, config, tokenizer, options),
        pad_id=padding(source, config, tokenizer),
        card=card.read(folder),
        metrics=json.loads(metrics.read_text("utf-8")) if metrics.is_file() else {},
    )


def tokenizer_alone(source: str, options: Options):
    """Without the weights."""
    folder, _ = located(source, options.revision)
    own_code = bool(read_config(folder).get("auto_map"))
    if own_code:
        require_trust(source, folder, options)
    return load_tokenizer(source, folder, own_code)


def located(source: str, revision: str | None) -> tuple[Path, str | None]:
    """The checkpoint's files on this disk, and the revision where they come from the hub."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            wrong = "it is a bundle, not a checkpoint" if (folder / "model.onnx").is_file() else "no config.json there"
            raise Refused(f"{source}: {wrong}; expected the folder of a transformers checkpoint, or an id of the hub")
        return folder, None
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise Refused(f"{source}: no such folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    print(f"fetching {source} from the hub", flush=True)
    try:
        path = Path(snapshot_download(source, revision=revision, allow_patterns=FILES))
    except GatedRepoError as error:
        raise Refused(f"{source}: its owner asks for a licence to be accepted first: on the hub, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise Refused(f"{source}: no such folder, and no such checkpoint on the hub (or a private one)") from error
    except RevisionNotFoundError as error:
        raise Refused(f"{source}: the hub has it, but no revision {revision!r}") from error
    except Exception as error:  # every client library beneath has its own kinds
        raise Refused(
            f"{source}: no such folder, and the hub cannot be reached ({reason(error)}). On a machine that reaches it: "
            f"`hf download {source} --local-dir {source.split('/')[-1]}`; copy that folder here, and name it instead: "
            f"`make model MODEL=<folder>`"
        ) from error
    return path, path.name


def reason(error: BaseException) -> str:
    """The innermost cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"


def read_config(folder: Path) -> dict:
    file = folder / "config.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise Refused(f"{file}: no JSON ({error})") from error


def require_trust(source: str, folder: Path, options: Options) -> None:
    """Own code is a program from elsewhere."""
    files = sorted(folder.glob("*.py"))
    known = all((OWN_CODE / file.name).is_file() and same(file, OWN_CODE / file.name) for file in files)
    if (files and known) or source == REFERENCE or options.trust_code:
        return
    names = ", ".join(file.name for file in files) or "code of another repository"
    raise Refused(
        f"{source}: this checkpoint brings code of its own ({names}), and loading it runs that code. Read it, then say so: "
        f"`make model MODEL={source} TRUST_CODE=1`"
    )


def same(one: Path, other: Path) -> bool:
    return one.read_bytes().replace(b"\r\n", b"\n") == other.read_bytes()


def require_multi_label(source: str, raw: dict, options: Options) -> None:
    """Refuses what no sigmoid belongs to."""
    family, kinds, problem = raw.get("model_type"), raw.get("architectures") or [], raw.get("problem_type")
    if family not in FAMILIES:
        raise Refused(f"{source}: model type {family!r} is not supported; supported: {', '.join(sorted(FAMILIES))}")
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise Refused(
            f"{source}: {', '.join(kinds) or 'no architecture'} is no sequence classifier; expected "
            "…ForSequenceClassification, fine-tuned for several labels"
        )
    if problem == "single_label_classification" or (problem is None and not options.multi_label):
        says = "says" if problem else "does not say problem_type, which means"
        hint = (
            ""
            if problem
            else " If it was trained with a sigmoid (BCEWithLogitsLoss), say so: "
            f"`make model MODEL={source} MULTI_LABEL=1`."
        )
        raise Refused(
            f"{source}: single-label softmax model: config.json {says} single_label_classification. Its labels share one "
            f"softmax, and a worker gives each label a sigmoid of its own: the scores would be wrong.{hint}"
        )
    if problem not in (None, "multi_label_classification"):
        raise Refused(f"{source}: problem_type {problem!r} is not supported; supported: multi_label_classification")


def load_model(source: str, folder: Path, raw: dict, own_code: bool) -> torch.nn.Module:
    """In fp32, with attention spelled out, as an export needs it."""
    kind = AutoModel if own_code and "AutoModel" in raw["auto_map"] else AutoModelForSequenceClassification
    config = AutoConfig.from_pretrained(folder, trust_remote_code=own_code)
    for part in [config, getattr(config, "encoder", None)]:
        if part is not None:
            part._attn_implementation = "eager"
    arguments = {"config": config, "dtype": torch.float32, "trust_remote_code": own_code}
    arguments |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        model, loading = kind.from_pretrained(folder, attn_implementation="eager", **arguments)
    except OSError as error:
        raise Refused(f"{source}: {str(error).splitlines()[0]}") from error
    missing = sorted(name for name in loading["missing_keys"] if "position_ids" not in name)
    if missing or loading["mismatched_keys"]:
        absent = ", ".join((missing or [str(key[0]) for key in loading["mismatched_keys"]])[:3])
        raise Refused(
            f"{source}: weights are missing or of another shape than config.json says ({absent}): an encoder without its "
            "classifier, or another number of labels? Fine-tune it first"
        )
    return model.eval()


def named_labels(source: str, config, options: Options) -> list[str]:
    labels = options.labels or [str(config.id2label[key]) for key in sorted(config.id2label, key=int)]
    if source == REFERENCE and labels[0].startswith("LABEL_"):
        labels = REFERENCE_LABELS
    if labels[0].startswith("LABEL_"):
        raise Refused(
            f"{source}: config.json names no labels (id2label holds {labels[0]}…); name them, in the order of the logits: "
            f"`make model MODEL={source} LABELS=anger,joy,…`"
        )
    return labels


def thresholds(source: str, config, labels: list[str], options: Options) -> list[float]:
    given = options.thresholds or getattr(config, "thresholds", None) or [0.5]
    if len(given) == 1:
        given = given * len(labels)
    if len(given) != len(labels):
        raise Refused(f"{source}: {len(given)} thresholds for {len(labels)} labels")
    return [float(one) for one in given]


def load_tokenizer(source: str, folder: Path, own_code: bool):
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=own_code)
    except (OSError, ValueError) as error:
        raise Refused(f"{source}: no tokenizer: {str(error).splitlines()[0]}") from error
    if not tokenizer.is_fast:
        raise Refused(f"{source}: {type(tokenizer).__name__} has no tokenizer.json: only tokenizers of the Rust library run")
    return tokenizer


def longest(source: str, config, tokenizer, options: Options) -> int:
    """Tokens that the model takes: the tokenizer's own limit, the positions that are there, or what the caller wants."""
    encoder = getattr(config, "encoder", config)
    positions = getattr(encoder, "max_position_embeddings", None) or 512
    if encoder.model_type in {"roberta", "xlm-roberta"}:
        # The first positions belong to padding.
        positions -= encoder.pad_token_id + 1
    if options.max_length is not None and options.max_length > positions:
        raise Refused(f"{source}: {options.max_length} tokens wanted, and the model has {positions} positions")
    return options.max_length or min(positions, tokenizer.model_max_length)


def padding(source: str, config, tokenizer) -> int:
    encoder = getattr(config, "encoder", config)
    for found in (tokenizer.pad_token_id, encoder.pad_token_id):
        if found is not None:
            return int(found)
    raise Refused(f"{source}: neither tokenizer nor configuration names a padding token")


def quiet() -> None:
    """The library's advice is not about this work."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
