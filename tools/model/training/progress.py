"""What a run has done so far: a line on the terminal, and a journal of which the curve is drawn."""

import json
import sys
import time
from pathlib import Path


class Journal:
    """Appends one JSON object a line; reading it again shows the curve of all sessions of a run."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, **entry: object) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def entries(self) -> list[dict]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


class Progress:
    """`stage: 120 of 3,200 batches, loss 0.53, 118 posts/s, 12 min left`, every few seconds."""

    def __init__(self, stage: str, steps: int, journal: Journal):
        self.stage, self.steps, self.journal = stage, steps, journal
        self.done = self.posts = 0
        self.loss = 0.0
        self.began = self.shown = time.monotonic()

    def step(self, loss: float, posts: int) -> None:
        self.done += 1
        self.posts += posts
        self.loss += (loss - self.loss) * max(0.02, 1 / self.done)
        if self.done % 20 == 0:
            self.journal.add(stage=self.stage, step=self.done, loss=round(self.loss, 5))
        now = time.monotonic()
        if now - self.shown >= (1 if sys.stderr.isatty() else 30) or self.done == self.steps:
            self.shown = now
            rate = self.posts / (now - self.began)
            left = (now - self.began) / self.done * (self.steps - self.done) / 60
            line = f"{self.stage}: {self.done:,} of {self.steps:,} batches, loss {self.loss:.3f}, {rate:.0f} posts/s, {left:.1f} min left"
            end = "\r" if sys.stderr.isatty() and self.done < self.steps else "\n"
            print(f"\x1b[2K{line}" if sys.stderr.isatty() else line, end=end, file=sys.stderr, flush=True)
