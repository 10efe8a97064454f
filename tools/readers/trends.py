"""Answers of DuckDB to the questions of `moodstream trends`, over the same files, for its tests.

Reads a JSON object from standard input: "posts" (a folder) and "questions", each with "by", "zone", "where" (SQL
conditions), "groups" (pairs of a name and an SQL expression) and "emotions" (pairs of the labels as models spell them
and the column of their scores). Prints a list of rows for each question: period (local time), key, labelled, skipped,
and for each emotion its posts, the posts that have a score, and their mean.
"""

import json
import sys

import duckdb


def answer(posts: str, asked: dict) -> list[dict]:
    local = f"event_time AT TIME ZONE '{asked['zone']}'" if asked["zone"] else "event_time AT TIME ZONE 'UTC'"
    columns = [f"strftime(date_trunc('{asked['by']}', {local}), '%Y-%m-%dT%H:%M:%S')"]
    columns += [expression for _, expression in asked["groups"]]
    columns += [f"count(*) FILTER (status = '{status}')" for status in ("labelled", "skipped")]
    for labels, column in asked["emotions"]:
        given = " OR ".join(f"list_contains(labels, '{label}')" for label in labels)
        # A sum of doubles in DuckDB is exact enough: fsum compensates.
        columns += [f"count(*) FILTER ({given})", f'count("{column}")', f'fsum("{column}"::DOUBLE) / count("{column}")']
    files = f"read_parquet('{posts}/*/*/*.parquet', union_by_name = true, hive_partitioning = false)"
    conditions = " AND ".join(asked["where"]) or "true"
    rows = duckdb.sql(f"SELECT {', '.join(columns)} FROM {files} WHERE {conditions} GROUP BY ALL").fetchall()
    found = []
    for row in rows:
        rest = list(row)
        entry = {"period": rest.pop(0)}
        entry["key"] = {name: rest.pop(0) for name, _ in asked["groups"]}
        entry["labelled"], entry["skipped"] = rest.pop(0), rest.pop(0)
        for _, column in asked["emotions"]:
            entry[column] = [rest.pop(0), rest.pop(0), rest.pop(0)]
        found.append(entry)
    return found


def main():
    asked = json.load(sys.stdin)
    print(json.dumps([answer(asked["posts"], question) for question in asked["questions"]]))


main()
