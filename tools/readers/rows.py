"""Prints every row of the Parquet files below a folder as one JSON object a line, for the tests of the archive.

    rows.py archive/posts

Each file is read by itself, with pyarrow and nothing of moodstream. The key "folder" says in which hour's folder it lies.
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq


def rows(root: Path):
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        if path.suffix != ".parquet":
            sys.exit(f"{path} is no Parquet file, and readers of the folder would choke on it")
        folder = path.parent.relative_to(root).as_posix()
        for row in pq.ParquetFile(path).read().to_pylist():
            yield {"folder": folder, **row}


def main():
    for row in rows(Path(sys.argv[1])):
        print(json.dumps(row, default=str, ensure_ascii=False))


main()
