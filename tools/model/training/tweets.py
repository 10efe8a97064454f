"""The tweets to learn from, as `shared/data` holds them: text, and what is known about it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LABELS = "anger anticipation disgust fear joy love optimism pessimism sadness surprise trust".split()
SENTIMENTS = ["negative", "neutral", "positive"]
DIMENSIONS = ["anger", "fear", "joy", "sadness", "valence"]
EMOJI = 20


@dataclass(frozen=True)
class Labelled:
    """Texts with one 0 or 1 per text and label."""

    texts: list[str]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Labelled":
        return Labelled([self.texts[row] for row in rows], self.labels[rows])

    def __add__(self, other: "Labelled") -> "Labelled":
        return Labelled(self.texts + other.texts, np.concatenate([self.labels, other.labels]))


def emotions(path: Path) -> Labelled:
    """A file of SemEval-2018 E-c: ID, Tweet, then one 0/1 column per label."""
    header, *lines = path.read_text("utf-8").splitlines()
    if header.split("\t")[2:] != LABELS:
        raise SystemExit(f"{path}: its columns are {header.split(chr(9))}, not ID, Tweet and {LABELS}")
    rows = [line.split("\t") for line in lines if line]
    return Labelled([row[1] for row in rows], np.array([[int(value) for value in row[2:]] for row in rows], np.float32))


def _lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:] if line]


def sentiment(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts, and the index of each one's sentiment."""
    rows = _lines(path)
    return [unescaped(row[1]) for row in rows], np.array([SENTIMENTS.index(row[0]) for row in rows])


def emoji(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts whose one emoji was taken out, and the index of that emoji."""
    rows = _lines(path)
    return [row[1] for row in rows], np.array([int(row[0]) for row in rows])


def intensity(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts, and how strong each dimension is, 0 to 1; NaN where nobody has said."""
    scores: dict[str, np.ndarray] = {}
    for dimension, score, _, text in _lines(path):
        row = scores.setdefault(text, np.full(len(DIMENSIONS), np.nan, np.float32))
        row[DIMENSIONS.index(dimension)] = float(score)
    return list(scores), np.stack(list(scores.values()))


def unescaped(text: str) -> str:
    r"""Some files write a comma as \u002c."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text).replace('\\"', '"')


def key(text: str) -> str:
    """Equal for two texts that are one tweet: the files differ in blanks, entities, case and who is addressed."""
    return re.sub(r"[\W_]+", "", re.sub(r"&\w+;|@\w+|\\n", " ", text.lower()))
