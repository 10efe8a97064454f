"""The tokenizer: the encoder's own, told about emoji and about what tweets contain besides words."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer

# What the encoder's words never held. Its own normaliser (lower case, accents) comes after these.
REPLACED = [
    ({"String": "&amp;"}, "&"),
    ({"String": "&lt;"}, "<"),
    ({"String": "&gt;"}, ">"),
    ({"String": "&quot;"}, '"'),
    ({"String": "&#39;"}, "'"),
    ({"String": "\\n"}, " "),
    # Who is addressed and what is linked to says little, and costs many tokens.
    ({"Regex": r"https?://\S+"}, " http "),
    ({"Regex": r"@\w+"}, " @user "),
    # The typographic apostrophes would be tokens of their own kind.
    ({"Regex": "[\u2018\u2019]"}, "'"),
    ({"Regex": "[\u201c\u201d]"}, '"'),
    # Skin colour, and how an emoji is to be drawn.
    ({"Regex": "[\U0001f3fb-\U0001f3ff\ufe0e\ufe0f]"}, ""),
]
FLAGS = range(0x1F1E6, 0x1F200)
BRAILLE = range(0x2800, 0x2900)


def is_emoji(character: str) -> bool:
    """Symbols above ASCII: emoji, and the older signs of which Unicode made some."""
    code = ord(character)
    return code > 0x203B and unicodedata.category(character) == "So" and code not in FLAGS and code not in BRAILLE


def frequent_emoji(texts: list[str], least: int) -> list[str]:
    """The emoji of the texts, the most frequent first."""
    counts = Counter(character for text in texts for character in set(text) if is_emoji(character))
    return [character for character, count in counts.most_common() if count >= least]


def build(encoder: Path, emoji: list[str]) -> Tokenizer:
    """The encoder's tokenizer with one token more for each emoji, at the end of its vocabulary."""
    description = json.loads((encoder / "tokenizer.json").read_text("utf-8"))
    replaces = [{"type": "Replace", "pattern": pattern, "content": content} for pattern, content in REPLACED]
    description["normalizer"] = {"type": "Sequence", "normalizers": [*replaces, description["normalizer"]]}
    description["truncation"] = description["padding"] = None
    tokenizer = Tokenizer.from_str(json.dumps(description))
    known = [character for character in emoji if tokenizer.token_to_id(character) is None]
    tokenizer.add_tokens(known)
    return tokenizer


def name(character: str) -> str:
    """What Unicode calls it, for a first idea of what it means."""
    return unicodedata.name(character, "").lower()
