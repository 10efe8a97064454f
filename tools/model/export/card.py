"""What a checkpoint's model card (README.md) says in its front matter: licence, languages, data sets."""

from pathlib import Path

import yaml


def text(folder: Path) -> str:
    """All of it; empty where there is none."""
    file = folder / "README.md"
    return file.read_text("utf-8", errors="replace") if file.is_file() else ""


def read(text: str) -> dict:
    """The front matter; nothing where there is none that can be read."""
    if not text.startswith("---"):
        return {}
    try:
        values = yaml.safe_load(text[3:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def listed(value: object) -> list[str]:
    """One or several, as cards write either."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def languages(card: dict) -> list[str]:
    """Primary subtags; none where the card names something else, such as "multilingual"."""
    found = [language.lower().split("-")[0] for language in listed(card.get("language"))]
    if any(len(language) not in (2, 3) or not language.isascii() or not language.isalpha() for language in found):
        return []
    return found
