"""Runs snippets of the documentation in the current folder, for the tests: Polars one after the other, SQL in DuckDB.

Reads a JSON object from standard input: "python" and "sql", lists of snippets. Prints the rows that the last expression
of each gives, as a list of lists of values.
"""

import ast
import json
import sys

import duckdb


def main():
    asked = json.load(sys.stdin)
    names: dict = {}
    found = {"python": [], "sql": []}
    for snippet in asked["python"]:
        *before, last = ast.parse(snippet).body
        exec(compile(ast.Module(before, []), "snippet", "exec"), names)
        frame = eval(compile(ast.Expression(last.value), "snippet", "eval"), names)
        found["python"].append([list(row) for row in frame.rows()])
    for snippet in asked["sql"]:
        found["sql"].append([list(row) for row in duckdb.sql(snippet.rstrip("; \n")).fetchall()])
    print(json.dumps(found, default=str))


main()
