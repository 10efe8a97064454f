"""The same job done carefully in Python, for comparison: `moodstream bench --against python`.

Exactly once with confluent-kafka transactions, micro-batches sorted by length, two sessions of one thread each,
and one batch of look-ahead: while the sessions work on a batch, the next one is polled and tokenised.

Configuration comes as one JSON object in the first argument. Prints, after each commit, how many posts are
committed in all.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnxruntime
import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from tokenizers import Tokenizer


class Model:
    """A bundle: tokenizer, sessions, micro-batches."""

    def __init__(self, folder: Path, sessions: int, token_budget: int):
        self.manifest = json.loads((folder / "model.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.manifest["max_length"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.sessions = [
            onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
            for _ in range(sessions)
        ]
        self.free = list(self.sessions)
        self.pool = ThreadPoolExecutor(sessions)
        self.token_budget = token_budget

    def submit(self, texts: list[str]):
        """Tokenises, cuts and hands over; the scores come by `Scores.wait`."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        parts, start = [], 0
        while start < len(order):
            count = max(1, self.token_budget // len(ids[order[start]]))
            parts.append(order[start : start + count])
            start += count
        futures = [self.pool.submit(self._run, [ids[i] for i in part]) for part in parts]
        return Scores(len(ids), parts, futures, [len(tokens) for tokens in ids])

    def _run(self, ids: list[list[int]]) -> np.ndarray:
        longest = len(ids[0])
        input_ids = np.full((len(ids), longest), self.manifest["pad_id"], dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        names = self.manifest["inputs"]
        # As many threads as sessions: one is always free. List operations are atomic.
        session = self.free.pop()
        try:
            (logits,) = session.run(
                [self.manifest["output"]], {names["input_ids"]: input_ids, names["attention_mask"]: mask}
            )
        finally:
            self.free.append(session)
        return 1.0 / (1.0 + np.exp(-logits))


class Scores:
    """Scores on their way."""

    def __init__(self, count, parts, futures, token_counts):
        self.count, self.parts, self.futures, self.token_counts = count, parts, futures, token_counts

    def wait(self, labels: int) -> np.ndarray:
        scores = np.empty((self.count, labels), dtype=np.float32)
        for part, future in zip(self.parts, self.futures):
            scores[part] = future.result()
        return scores


class Worker:
    """Poll, label, commit."""

    def __init__(self, config: dict):
        self.config = config
        self.model = Model(Path(config["model"]), config["sessions"], config["token_budget"])
        self.labels = self.model.manifest["labels"]
        self.thresholds = np.array(self.model.manifest["thresholds"], dtype=np.float32)
        self.consumer = Consumer(
            {
                "bootstrap.servers": config["brokers"],
                "group.id": config["group"],
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
                "queued.max.messages.kbytes": 16384,
            }
        )
        self.producer = Producer(
            {
                "bootstrap.servers": config["brokers"],
                "transactional.id": config["group"] + "/python",
                "transaction.timeout.ms": 10000,
                "linger.ms": 2,
                "compression.type": "lz4",
            }
        )
        self.committed = 0
        self.epoch = 0

    def run(self):
        self.producer.init_transactions(30)
        self.consumer.subscribe([self.config["input"]], on_assign=self.rebalanced, on_revoke=self.rebalanced)
        ahead = None
        while True:
            batch = self.poll(wait=ahead is None)
            if ahead is not None:
                ahead = self.finish(ahead)
            if batch is not None and batch[0] == self.epoch:
                ahead = batch

    def rebalanced(self, _consumer, _partitions):
        self.epoch += 1

    def poll(self, wait: bool):
        """The next batch, handed to the sessions; None when nothing came or the group has rebalanced."""
        messages = self.consumer.consume(self.config["batch"], timeout=1.0 if wait else 0.05)
        messages = [message for message in messages if not self.failed(message)]
        if not messages:
            return None
        posts = [orjson.loads(message.value()) for message in messages]
        scores = self.model.submit([post["text"] for post in posts])
        return self.epoch, messages, posts, scores

    @staticmethod
    def failed(message) -> bool:
        if message.error() is not None:
            raise KafkaException(message.error())
        return False

    def finish(self, batch):
        """Publishes and commits a batch; nothing is left of one whose partitions have moved."""
        epoch, messages, posts, scores = batch
        rows = scores.wait(len(self.labels))
        if epoch != self.epoch:
            return None
        given = rows >= self.thresholds
        manifest = self.model.manifest
        model = {"id": manifest["id"], "thresholds": manifest["thresholds"]}
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self.producer.begin_transaction()
        ends = {}
        for index, (message, post) in enumerate(zip(messages, posts)):
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            record = {
                "v": 1,
                "status": "labelled",
                "id": post.get("id"),
                "text": post["text"],
                "created_at": post.get("created_at"),
                "platform": post.get("platform"),
                "lang": post.get("lang"),
                "author_id": post.get("author"),
                "scores": dict(zip(self.labels, rows[index].tolist())),
                "labels": [label for label, is_given in zip(self.labels, given[index]) if is_given],
                "token_count": scores.token_counts[index],
                "model": model,
                "source": {
                    "topic": topic,
                    "partition": partition,
                    "offset": offset,
                    "timestamp": message.timestamp()[1],
                },
                "labelled_at": now,
            }
            self.producer.produce(
                self.config["output"],
                orjson.dumps(record),
                key=message.key(),
                partition=partition,
                timestamp=message.timestamp()[1],
            )
            ends[topic, partition] = offset + 1
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        self.producer.send_offsets_to_transaction(offsets, self.consumer.consumer_group_metadata(), 30)
        self.producer.commit_transaction(30)
        self.committed += len(messages)
        print(self.committed, flush=True)
        return None


if __name__ == "__main__":
    Worker(json.loads(sys.argv[1])).run()
