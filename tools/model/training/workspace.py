"""Where a run keeps its work: data, tokenizer, finished stages. A stage that is finished is not done again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from emoaxis.configuration_emoaxis import EmoAxisConfig
from emoaxis.modeling_emoaxis import EmoAxisModel
from tokenizers import Tokenizer

from . import network, tweets, vocabulary
from .batches import MAX_LENGTH, Encoded
from .pretrain import pretrain
from .progress import Journal

# An emoji that so many tweets hold gets a token.
LEAST_EMOJI = 2


class Workspace:
    """A folder, and the data that everything in it was made from."""

    def __init__(self, folder: Path, data: Path):
        self.folder, self.data = folder, data
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder / "journal.jsonl")
        self.train = tweets.emotions(data / "semeval2018-ec" / "train.txt")
        self.dev = tweets.emotions(data / "semeval2018-ec" / "dev.txt")
        self.labelled = self.train + self.dev
        known = {tweets.key(text) for text in self.labelled.texts}
        self.sentiment = self._without(known, *tweets.sentiment(data / "pretrain" / "sentiment.tsv"))
        self.emoji = self._without(known, *tweets.emoji(data / "pretrain" / "emoji.tsv"))
        self.intensity = tweets.intensity(data / "pretrain" / "intensity.tsv")
        texts = self.labelled.texts + self.sentiment[0] + self.emoji[0]
        self.tokenizer = vocabulary.build(network.ENCODER, vocabulary.frequent_emoji(texts, LEAST_EMOJI))

    @staticmethod
    def _without(known: set[str], texts: list[str], values: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Without the tweets that are judged by."""
        rows = [row for row, text in enumerate(texts) if tweets.key(text) not in known]
        return [texts[row] for row in rows], values[rows]

    def unlabelled(self, count: int) -> list[str]:
        """Tweets whose emotions nobody has labelled, by chance but always the same."""
        texts = self.sentiment[0] + self.emoji[0]
        rows = np.random.default_rng(1).permutation(len(texts))[:count]
        return [texts[row] for row in rows]

    def encode(self, texts: list[str]) -> Encoded:
        return Encoded(self.tokenizer, texts)

    def stage(self, name: str, make: Callable[[], EmoAxisModel]) -> EmoAxisModel:
        """The network that this stage makes: from the last run, if it was finished there."""
        folder = self.folder / name
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            self.save(make(), partial)
            partial.rename(folder)
        return EmoAxisModel.from_pretrained(folder)

    def save(self, model: EmoAxisModel, folder: Path) -> None:
        """A checkpoint that `AutoModel.from_pretrained` loads by itself."""
        EmoAxisConfig.register_for_auto_class()
        EmoAxisModel.register_for_auto_class("AutoModel")
        folder.mkdir(parents=True)
        model.save_pretrained(folder)
        self.tokenizer.no_truncation()
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(
            f'{{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": {MAX_LENGTH}, "pad_token": "[PAD]"}}\n'
        )

    def pretrained(self) -> EmoAxisModel:
        def make() -> EmoAxisModel:
            model = network.fresh(self.tokenizer)
            tasks = [(self.encode(texts), classes) for texts, classes in [self.sentiment, self.emoji]]
            pretrain(model, tasks, seed=1, journal=self.journal)
            return model

        return self.stage("pretrained", make)
