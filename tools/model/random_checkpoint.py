"""Makes a checkpoint with random weights: random_checkpoint.py KIND FOLDER [--tiny] [--layers N] [--labels N] [--softmax]

KIND emoaxis is the reference model: its files, its code (emoaxis/), its architecture, roberta-base at its full size.
The others are sequence classifiers of the transformers library. Such a checkpoint labels nothing sensibly: it is
there to be exported and measured where the real one cannot be had. The same arguments give the same weights.

The tokenizer is of the architecture's kind, trained on this project's own posts, or on those of --texts.
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from emoaxis.configuration_emoaxis import EmoAxisConfig
from emoaxis.modeling_emoaxis import EmoAxisModel

KINDS = ["emoaxis", "bert", "roberta", "distilbert", "deberta-v2", "xlm-roberta"]
EMOTIONS = "anger anticipation disgust fear joy love optimism pessimism sadness surprise trust".split()
GOEMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval "
    "disgust embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief "
    "remorse sadness surprise neutral"
).split()
POSTS = Path(__file__).parents[2] / "src" / "demo" / "posts.jsonl"


def posts(file: Path) -> list[str]:
    """The texts of JSON lines."""
    return [str(json.loads(line).get("text", "")) for line in file.read_text("utf-8").splitlines()]


def byte_level(texts: list[str]) -> PreTrainedTokenizerFast:
    """RoBERTa's kind, its special tokens under their usual ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=50265, min_frequency=2, special_tokens=special, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def word_pieces(texts: list[str]) -> PreTrainedTokenizerFast:
    """BERT's kind, uncased."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", pad_token="[PAD]",
        mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def pieces(texts: list[str], names: list[str]) -> PreTrainedTokenizerFast:
    """The SentencePiece kind of XLM-R and DeBERTa; `names`: beginning, padding, end, unknown, mask."""
    begin, pad, end, unknown, mask = names
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=names, unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in (begin, end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", pair=f"{begin} $A {end} $B {end}", special_tokens=ids
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token=begin, sep_token=end, unk_token=unknown, pad_token=pad,
        mask_token=mask, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def tokenizer_of(kind: str, texts: list[str]) -> PreTrainedTokenizerFast:
    if kind in {"emoaxis", "roberta"}:
        return byte_level(texts)
    if kind == "xlm-roberta":
        return pieces(texts, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    if kind == "deberta-v2":
        return pieces(texts, ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])
    return word_pieces(texts)


def encoder_config(kind: str, tiny: bool, layers: int | None, vocabulary: int, others: dict):
    """Of the size of the family's base model, or so small that a test takes no time."""
    hidden, inner, heads, count, positions = (48, 96, 4, 2, 64) if tiny else (768, 3072, 12, 12, 512)
    shape = {
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": inner, "num_attention_heads": heads,
        "num_hidden_layers": layers or count, "max_position_embeddings": positions,
    }  # fmt: skip
    if kind == "bert":
        return BertConfig(**shape, **others)
    if kind in {"roberta", "emoaxis", "xlm-roberta"}:
        config = XLMRobertaConfig if kind == "xlm-roberta" else RobertaConfig
        special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
        # Positions begin after the padding's.
        return config(**shape | special | {"max_position_embeddings": positions + 2, "layer_norm_eps": 1e-5}, **others)
    if kind == "distilbert":
        return DistilBertConfig(
            vocab_size=vocabulary, dim=hidden, hidden_dim=inner, n_heads=heads, n_layers=layers or count,
            max_position_embeddings=positions, **others,
        )  # fmt: skip
    return DebertaV2Config(
        **shape, pad_token_id=1, relative_attention=True, position_buckets=16 if tiny else 256, share_att_key=True,
        pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", max_relative_positions=-1,
        position_biased_input=False, type_vocab_size=0, **others,
    )  # fmt: skip


def disturb(model: PreTrainedModel) -> None:
    """Makes every parameter count: a bias of zeros, or a scale of ones, that an export forgot would not be noticed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif "classifier" in name and parameter.shape[0] == model.config.num_labels:
                parameter.copy_(torch.randn_like(parameter) * (8.0 / parameter.shape[1] ** 0.5))


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, max_length: int) -> None:
    """Writes what a checkpoint on the hub has; the reference model's with its code."""
    if isinstance(model, EmoAxisModel):
        EmoAxisConfig.register_for_auto_class()
        EmoAxisModel.register_for_auto_class("AutoModel")
    model.save_pretrained(folder)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)


def make(
    kind: str, folder: Path, *, tiny: bool = False, layers: int | None = None, labels: list[str] = EMOTIONS,
    problem: str | None = "multi_label_classification", texts: Path = POSTS,
) -> None:  # fmt: skip
    """One checkpoint; `problem` is what config.json says of the kind of labels."""
    torch.manual_seed(7)
    tokenizer = tokenizer_of(kind, posts(texts))
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    # As many rows as the real roberta-base has.
    vocabulary = 50265 if kind == "emoaxis" and not tiny else len(tokenizer)
    if kind == "emoaxis":
        model = EmoAxisModel(EmoAxisConfig(encoder=encoder_config(kind, tiny, layers, vocabulary, {}), **names))
    else:
        config = encoder_config(kind, tiny, layers, vocabulary, names | {"problem_type": problem})
        model = AutoModelForSequenceClassification.from_config(config)
    disturb(model)
    save(model, tokenizer, folder, 48 if tiny else 128)


def main() -> None:
    arguments = argparse.ArgumentParser(description="make a checkpoint with random weights")
    arguments.add_argument("kind", choices=KINDS)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--tiny", action="store_true", help="two layers of 48, for tests")
    arguments.add_argument("--layers", type=int, help="other than the family's base model has")
    arguments.add_argument("--labels", type=int, choices=[11, 28], default=11, help="28: those of GoEmotions")
    arguments.add_argument("--softmax", action="store_true", help="single-label, as the export refuses it")
    arguments.add_argument("--texts", type=Path, default=POSTS, help="JSON lines to train the tokenizer on")
    options = arguments.parse_args()
    make(
        options.kind, options.folder, tiny=options.tiny, layers=options.layers,
        labels=EMOTIONS if options.labels == 11 else GOEMOTIONS,
        problem="single_label_classification" if options.softmax else "multi_label_classification",
        texts=options.texts,
    )  # fmt: skip
    print(f"{options.folder}: {options.kind} with random weights")


if __name__ == "__main__":
    main()
