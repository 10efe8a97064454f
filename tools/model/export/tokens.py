"""Token ids of a bundle against those of transformers: python -m export.tokens CHECKPOINT BUNDLE [FILE or FOLDER…]

The bundle's tokenizer.json is read by the Rust library in the version of the worker's crate (requirements.txt pins it),
and the checkpoint's by transformers, as people use it in Python. Every text of the files is compared, and texts that
tokenizers stumble over.
"""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

from . import checkpoint, texts
from .refusal import Refused
from .running import Bundle


def differing(found: Bundle, tokenizer, given: list[str]) -> list[str]:
    """Texts whose ids are not the same."""
    wrong: list[str] = []
    limit = found.manifest["max_length"]
    for at in range(0, len(given), 2000):
        part = given[at : at + 2000]
        ours = found.ids(part)
        theirs = tokenizer(part, truncation=True, max_length=limit)["input_ids"]
        wrong += [text for text, one, other in zip(part, ours, theirs) if one != other]
    return wrong


def crate_version() -> str:
    """Of the crate `tokenizers` in Cargo.lock."""
    lines = (texts.ROOT / "Cargo.lock").read_text("utf-8").splitlines()
    return lines[lines.index('name = "tokenizers"') + 1].split('"')[1]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="export.tokens", description="compare token ids")
    arguments.add_argument("checkpoint")
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("files", type=Path, nargs="*")
    arguments.add_argument("--trust-code", action="store_true")
    options = arguments.parse_args()
    checkpoint.quiet()
    if crate_version() != version("tokenizers"):
        print(f"error: Cargo.lock has tokenizers {crate_version()}, this environment {version('tokenizers')}: requirements.txt pins it", file=sys.stderr)
        return 1
    found = Bundle(options.bundle)
    try:
        tokenizer = checkpoint.tokenizer_alone(options.checkpoint, checkpoint.Options(trust_code=options.trust_code))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = [file for one in options.files for file in (sorted(one.rglob("*")) if one.is_dir() else [one])]
    sources = {"texts to stumble over": texts.HARD, "the project's own": texts.own()}
    sources |= {str(file): texts.read(file) for file in files if file.suffix in {".jsonl", ".tsv", ".txt"}}
    failed = 0
    for name, given in sources.items():
        wrong = differing(found, tokenizer, given)
        failed += len(wrong)
        print(f"{len(given):>8} texts, {len(wrong)} with other ids: {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
