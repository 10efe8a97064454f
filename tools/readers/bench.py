"""DuckDB on the question of `moodstream bench trends`: each emotion's posts and mean score by day.

    bench.py '{"posts": DIR, "emotions": […], "by_labels": false, "threads": 2}'

Prints the seconds that the query took, the peak resident memory, and the posts of each emotion by day.
"""

import json
import resource
import sys
import time

import duckdb

asked = json.loads(sys.argv[1])
columns = ["date_trunc('day', event_time AT TIME ZONE 'UTC') AS day", "count(*)"]
for emotion in asked["emotions"]:
    given = f"list_contains(labels, '{emotion}')" if asked["by_labels"] else f'"{emotion}" >= 0.5'
    columns += [f"count(*) FILTER ({given})", f'avg("{emotion}")']
files = f"read_parquet('{asked['posts']}/*/*/*.parquet', hive_partitioning = false)"
duckdb.sql(f"SET threads = {asked['threads']}")
duckdb.sql("SET enable_progress_bar = false")
started = time.perf_counter()
rows = duckdb.sql(f"SELECT {', '.join(columns)} FROM {files} WHERE status = 'labelled' GROUP BY day ORDER BY day").fetchall()
seconds = time.perf_counter() - started
counts = [[row[2 + 2 * place] for row in rows] for place in range(len(asked["emotions"]))]
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps({"seconds": seconds, "memory": memory, "counts": counts}))
