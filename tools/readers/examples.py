"""The archive, read by the programs that people read Parquet with: DuckDB, Polars, pandas, pyarrow, and Spark.

    examples.py DIR LINES

DIR is what `moodstream label --out DIR` or the archive wrote, LINES the output records of the same posts as JSON lines.
Each reader opens DIR/posts in the way that its own manual shows, and must find every post, the columns that
schemas/archive.schema.json describes, and the same mean of every emotion. Spark takes part where pyspark is installed.
Ends with 1 and says what differs.
"""

import json
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Which columns hold the folders' names, for every reader.
FOLDERS = ["date", "hour"]


def duckdb_reader(posts: Path, emotions: list[str]):
    import duckdb

    files = f"read_parquet('{posts}/*/*/*.parquet', union_by_name = true)"
    means = ", ".join(f'avg("{emotion}")' for emotion in emotions)
    found = duckdb.sql(f"SELECT count(*), count(DISTINCT post_id), {means} FROM {files}").fetchall()[0]
    folder = "date || printf(' %02d', hour::INT)"
    elsewhere = duckdb.sql(
        f"SELECT count(*) FROM {files} WHERE strftime(event_time AT TIME ZONE 'UTC', '%Y-%m-%d %H') <> {folder}"
    ).fetchall()[0][0]
    if elsewhere:
        raise ValueError(f"{elsewhere} rows are in another hour's folder")
    return found[0], found[1], duckdb.sql(f"SELECT * FROM {files}").columns, found[2:]


def polars_reader(posts: Path, emotions: list[str]):
    import polars as pl

    # Files of skipped posts alone have no emotions, those of two models have different ones.
    files = [pl.scan_parquet(file, hive_partitioning=True) for file in sorted(posts.rglob("*.parquet"))]
    frame = pl.concat(files, how="diagonal")
    means = (pl.col(emotion).mean() for emotion in emotions)
    found = frame.select(pl.len().alias("rows"), pl.col("post_id").n_unique().alias("posts"), *means).collect().row(0)
    return found[0], found[1], frame.collect_schema().names(), found[2:]


def pyarrow_reader(posts: Path, emotions: list[str]):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    # A dataset takes the schema of its first file unless it is told.
    schema = pa.unify_schemas([pq.read_schema(file) for file in sorted(posts.rglob("*.parquet"))])
    schema = schema.append(pa.field("date", pa.string())).append(pa.field("hour", pa.string()))
    table = ds.dataset(posts, schema=schema, partitioning="hive").to_table()
    means = [pc.mean(table[emotion]).as_py() for emotion in emotions]
    return table.num_rows, pc.count_distinct(table["post_id"]).as_py(), table.column_names, means


def pandas_reader(posts: Path, emotions: list[str]):
    import pandas as pd

    frame = pd.concat((pd.read_parquet(file) for file in sorted(posts.rglob("*.parquet"))), ignore_index=True)
    means = [frame[emotion].astype("float64").mean() for emotion in emotions]
    # A file that is read by itself has no folder.
    return len(frame), frame["post_id"].nunique(), [*frame.columns, *FOLDERS], means


def spark_reader(posts: Path, emotions: list[str]):
    from pyspark.sql import SparkSession, functions

    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    try:
        frame = spark.read.option("mergeSchema", "true").parquet(str(posts))
        means = [functions.avg(emotion) for emotion in emotions]
        found = frame.agg(functions.count("*"), functions.countDistinct("post_id"), *means).first()
        return found[0], found[1], frame.columns, found[2:]
    finally:
        spark.stop()


READERS = {
    "DuckDB": duckdb_reader,
    "Polars": polars_reader,
    "pyarrow": pyarrow_reader,
    "pandas": pandas_reader,
    "Spark": spark_reader,
}


def expected(lines: Path):
    """Posts, different ids, columns, emotions and their means, by the JSON alone."""
    records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    scored = [record["scores"] for record in records if record["scores"] is not None]
    labels = list(scored[0])
    emotions = ["".join(c.lower() if c.isascii() and c.isalnum() else "_" for c in label) for label in labels]
    means = [sum(scores[label] for scores in scored) / len(scored) for label in labels]
    described = json.loads((ROOT / "schemas" / "archive.schema.json").read_text())["columns"]
    names = [column["name"] for column in described]
    columns = [name for column in names for name in (emotions if column == "<label>" else [column])]
    return len(records), len({record["id"] for record in records}), columns + FOLDERS, emotions, means


def main(folder: str, lines: str) -> int:
    rows, ids, columns, emotions, means = expected(Path(lines))
    wrong = []
    for name, reader in READERS.items():
        try:
            found = reader(Path(folder) / "posts", emotions)
        except ModuleNotFoundError as missing:
            if name == "Spark" and missing.name == "pyspark":
                print(f"{name}: not installed")
                continue
            raise
        if found[0] != rows or found[1] != ids:
            wrong.append(f"{name}: {found[0]} rows of {found[1]} posts, where there are {rows} of {ids}")
        if set(found[2]) != set(columns):
            wrong.append(f"{name}: the columns {sorted(set(found[2]) ^ set(columns))} are lacking or too many")
        for emotion, mean, right in zip(emotions, found[3], means):
            if not math.isclose(mean, right, rel_tol=1e-5, abs_tol=1e-7):
                wrong.append(f"{name}: the mean of {emotion} is {mean}, where it is {right}")
        print(f"{name}: {found[0]} rows, {len(found[2])} columns, {emotions[0]} {found[3][0]:.6f} on average")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
