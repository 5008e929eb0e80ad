"""Small Parquet files of the same rows in every compression and encoding that people meet, and the rows as JSON lines.

    python make_parquet.py

The committed files were made with pyarrow 26.0.1.
"""

import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "parquet"


def row(number):
    """Everything that data sets nest, with nulls in every place."""
    return {
        "id": 2**53 + number,
        "question": f"What is {number} plus {number}? é" if number % 4 else None,
        "answer": str(2 * number),
        "score": number / 3,
        "small": round(number * 0.1, 1),
        "right": number % 2 == 0,
        "messages": [
            {"role": "user", "content": f"{number}?", "tool_calls": None},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"name": "add", "arguments": json.dumps({"x": number})}] * (number % 3),
            },
        ][: number % 3],
        "reward_model": {"style": "rule", "ground_truth": str(2 * number)},
        "tags": None if number == 2 else ["a", "b"][: number % 3],
        "counts": {"x": number, "y": None},
        "source": "a source that is always the same",
    }


CALL = pa.struct([("name", pa.string()), ("arguments", pa.string())])
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(CALL))])
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("question", pa.string()),
        ("answer", pa.large_string()),
        ("score", pa.float64()),
        ("small", pa.float32()),
        ("right", pa.bool_()),
        ("messages", pa.list_(MESSAGE)),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("tags", pa.list_(pa.string())),
        ("counts", pa.map_(pa.string(), pa.int32())),
        ("source", pa.string()),
    ]
)


def main():
    HERE.mkdir(exist_ok=True)
    rows = [row(number) for number in range(10)]
    table = pa.Table.from_pylist([{**r, "counts": list(r["counts"].items())} for r in rows], schema=SCHEMA)
    settings = {
        "none": {"compression": "none"},
        "snappy": {"compression": "snappy"},
        "gzip": {"compression": "gzip"},
        "zstd": {"compression": "zstd"},
        "lz4": {"compression": "lz4"},
        "plain": {"use_dictionary": False},
        "delta": {
            "use_dictionary": False,
            "column_encoding": {
                "id": "DELTA_BINARY_PACKED",
                "question": "DELTA_BYTE_ARRAY",
                "answer": "DELTA_LENGTH_BYTE_ARRAY",
                "score": "BYTE_STREAM_SPLIT",
            },
            "data_page_version": "2.0",
        },
        "version1": {"version": "1.0", "data_page_version": "1.0"},
    }
    for name, setting in settings.items():
        pq.write_table(table, HERE / f"{name}.parquet", row_group_size=4, **setting)
    with open(HERE / "rows.jsonl", "w", encoding="utf-8") as file:
        for r in rows:
            file.write(json.dumps(r, ensure_ascii=False) + "\n")
    images = [{"image": {"bytes": b"text"}}, {"image": {"bytes": b"\x89PNG\xff"}}]
    pq.write_table(pa.Table.from_pylist(images), HERE / "bytes.parquet")


main()
