"""The archive's job done carefully in Python, for comparison: `moodstream bench archive --against python`.

Output records become hourly Parquet files with the columns and the compression of moodstream's: polled 10,000 at a
time, parsed by orjson, turned into tables by pyarrow, one row group for 65,536 rows. Offsets are committed once the
files are on disk, so a crash gives rows twice; nothing else is spared that the archive does.

Configuration comes as one JSON object in the first argument: brokers, group, topic, out (a folder), records (how many
to read). Prints one JSON object at the end: rows, wall_seconds, cpu_seconds (of all threads), bytes.
"""

import json
import sys
import time
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaException

GROUP_ROWS = 65_536
TIME = pa.timestamp("ms", tz="UTC")
BEFORE = [
    pa.field("post_id", pa.string(), nullable=False),
    pa.field("event_time", TIME, nullable=False),
    pa.field("time_source", pa.string(), nullable=False),
    pa.field("created_at", pa.string()),
    pa.field("platform", pa.string()),
    pa.field("lang", pa.string()),
    pa.field("author_id", pa.string()),
    pa.field("text", pa.string()),
    pa.field("text_hash", pa.string()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("skip_reason", pa.string()),
]
AFTER = [
    pa.field("labels", pa.list_(pa.string())),
    pa.field("token_count", pa.int32()),
    pa.field("truncated", pa.bool_(), nullable=False),
    pa.field("model_id", pa.string(), nullable=False),
    pa.field("model_hash", pa.string(), nullable=False),
    pa.field("source_topic", pa.string()),
    pa.field("source_partition", pa.int32()),
    pa.field("source_offset", pa.int64()),
    pa.field("source_timestamp", TIME),
    pa.field("source_file", pa.string()),
    pa.field("source_line", pa.int64()),
    pa.field("output_partition", pa.int32()),
    pa.field("output_offset", pa.int64()),
    pa.field("labelled_at", TIME, nullable=False),
    pa.field("extra", pa.string()),
]
# As moodstream encodes them: dictionaries for words, differences for numbers that grow.
DICTIONARY = [
    "time_source", "platform", "lang", "status", "skip_reason", "labels.list.element", "token_count", "model_id",
    "model_hash", "source_topic", "source_partition", "source_file", "output_partition", "labelled_at",
]  # fmt: skip
DELTA = ["event_time", "source_offset", "source_timestamp", "source_line", "output_offset"]


def row(record: dict, labels: list[tuple[str, str]], partition: int, offset: int) -> dict:
    """A record's values by column."""
    created_at, source, model = record["created_at"], record["source"], record["model"]
    values = {
        "post_id": record["id"],
        "event_time": datetime.fromisoformat(record["event_time"]),
        "time_source": record["time_source"],
        "created_at": created_at if created_at is None or isinstance(created_at, str) else str(created_at),
        "platform": record["platform"],
        "lang": record["lang"],
        "author_id": record["author_id"],
        "text": record["text"],
        "text_hash": record["text_hash"],
        "status": record["status"],
        "skip_reason": record["skip_reason"],
        "labels": record["labels"],
        "token_count": record["token_count"],
        "truncated": record["truncated"],
        "model_id": model["id"],
        "model_hash": model["hash"],
        "source_topic": source.get("topic"),
        "source_partition": source.get("partition"),
        "source_offset": source.get("offset"),
        "source_timestamp": source.get("timestamp"),
        "source_file": source.get("file"),
        "source_line": source.get("line"),
        "output_partition": partition,
        "output_offset": offset,
        "labelled_at": datetime.fromisoformat(record["labelled_at"]),
        "extra": orjson.dumps(record["extra"]).decode() if record["extra"] else None,
    }
    scores = record["scores"]
    if scores is not None:
        for label, column in labels:
            values[column] = scores[label]
    return values


def column(label: str) -> str:
    """A label's column."""
    return "".join(c.lower() if c.isascii() and c.isalnum() else "_" for c in label)


class Hour:
    """The file of one hour: rows that wait, and what is written."""

    def __init__(self, folder: Path, hour: str, labels: list[tuple[str, str]]):
        self.schema = pa.schema(BEFORE + [pa.field(name, pa.float32()) for _, name in labels] + AFTER)
        self.rows = []
        self.path = folder / f"date={hour[:10]}" / f"hour={hour[11:13]}" / "part-0.parquet"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = pq.ParquetWriter(
            self.path,
            self.schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=DICTIONARY,
            column_encoding={name: "DELTA_BINARY_PACKED" for name in DELTA},
            write_statistics=[name for name in self.schema.names if name not in ("text", "text_hash", "extra", "created_at")],
            store_schema=False,
        )

    def add(self, values: dict):
        self.rows.append(values)
        if len(self.rows) >= GROUP_ROWS:
            self.seal()

    def seal(self):
        table = pa.Table.from_pylist(self.rows, self.schema)
        table = table.sort_by([("event_time", "ascending"), ("output_offset", "ascending")])
        self.writer.write_table(table, row_group_size=GROUP_ROWS)
        self.rows = []

    def finish(self) -> int:
        if self.rows:
            self.seal()
        self.writer.close()
        return self.path.stat().st_size


def archive(config: dict) -> dict:
    consumer = Consumer(
        {
            "bootstrap.servers": config["brokers"],
            "group.id": config["group"],
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([config["topic"]])
    folder, hours, labels, rows, began = Path(config["out"]) / "posts", {}, None, 0, None
    waiting = []
    while rows < config["records"]:
        messages = consumer.consume(10_000, timeout=1.0)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            if began is None:
                began = (time.perf_counter(), time.process_time())
            waiting.append((orjson.loads(message.value()), message.partition(), message.offset()))
        rows += len(messages)
        if labels is None:
            # Skipped posts do not say which labels there are: they wait for the first that does.
            known = (record["scores"] for record, _, _ in waiting if record["scores"] is not None)
            scores = next(known, None)
            if scores is None and rows < config["records"]:
                continue
            labels = [(label, column(label)) for label in scores or {}]
        for record, partition, offset in waiting:
            key = record["event_time"][:13]
            hour = hours.get(key)
            if hour is None:
                hour = hours[key] = Hour(folder, key, labels)
            hour.add(row(record, labels, partition, offset))
        waiting = []
    size = sum(hour.finish() for hour in hours.values())
    consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    consumer.close()
    return {"rows": rows, "wall_seconds": wall, "cpu_seconds": cpu, "bytes": size}


if __name__ == "__main__":
    print(json.dumps(archive(json.loads(sys.argv[1]))))
