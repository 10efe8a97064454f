"""Texts to check an export with: this project's own, and a person's files."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "models" / "starter" / "golden.jsonl"
POSTS = ROOT / "src" / "demo" / "posts.jsonl"
# What tokenizers stumble over.
HARD = [
    "", " ", "\n", "x", "😡", "👩‍👩‍👧‍👦 family", "❤️❤ ❤", "🏳️‍🌈🇺🇸🇬🇧", "e\u0301 vs é, Å vs A\u030a vs \u212b",
    "z\u0335\u0322\u0352a\u0337\u0353l\u0336g\u0334o\u0335", "ﬁne ﬂour ½ ℌ Ⅷ", "שלום, מה שלומך היום?", "مرحبا بالعالم، كيف حالك؟",
    "abc \u202eمقلوب\u202c def", "今日はとても嬉しい。", "आज मैं बहुत खुश हूँ", "ฉันมีความสุขมาก", "Straße İstanbul ǅ ŉ", "a\u200bb\u00adc\ufeffd", "tab\tand\r\nlines\n\nhere",
    "<s> </s> <pad> [CLS] [SEP] [PAD] <mask>", "&amp; &lt;b&gt; \\n", "@user #tag http://example.org/a?b=c&d=e", "!!!???...",
    "so " * 400 + "tired", "a" * 3000, "😂" * 300, "\u0301" * 50, "\U0001f9d1\U0001f3fd\u200d\U0001f680" * 40,
]  # fmt: skip


def golden() -> list[str]:
    return [json.loads(line)["text"] for line in GOLDEN.read_text("utf-8").splitlines()]


def own() -> list[str]:
    """The golden texts and the demo's posts."""
    return golden() + [json.loads(line)["text"] for line in POSTS.read_text("utf-8").splitlines()]


def varied(count: int) -> list[str]:
    """As many texts as wanted, each different: the project's own, then changed and joined ones."""
    texts = list(dict.fromkeys([*own(), *(text for text in HARD if text.strip())]))
    changes = [
        lambda one, _: one.upper(), lambda one, other: f"{one} {other}", lambda one, _: one[: len(one) // 2],
        lambda one, _: f"@someone {one} 😂", lambda one, other: f"{other[: len(other) // 2]}… {one}",
        lambda one, _: f"#{one.replace(' ', '')} {one[::2]}",
    ]  # fmt: skip
    seen = dict.fromkeys(texts)
    for change in changes:
        for step, one in enumerate(texts):
            seen.setdefault(change(one, texts[(step * 7 + 3) % len(texts)]))
    return [text for text in seen if text.strip()][:count]


def read(file: Path) -> list[str]:
    """JSON lines with `text`, a tab-separated table (each field that holds a letter), or a text per line."""
    lines = file.read_text("utf-8").split("\n")
    if file.suffix in {".jsonl", ".json"}:
        return [str(json.loads(line).get("text", "")) for line in lines if line.strip()]
    if file.suffix == ".tsv" or (lines and "\t" in lines[0]):
        return [field for line in lines for field in line.split("\t") if any(c.isalpha() or ord(c) > 127 for c in field)]
    return [line for line in lines if line]


def labelled(file: Path) -> tuple[list[str], list[list[int]], list[str]]:
    """A table as SemEval-2018 E-c has it: ID, text, then a column of 0 and 1 per label, with a header."""
    header, *rows = [line.split("\t") for line in file.read_text("utf-8").split("\n") if line.strip()]
    return [row[1] for row in rows], [[int(value) for value in row[2:]] for row in rows], header[2:]
