#!/usr/bin/env python3
"""Reads the event file of a run with TensorBoard's own package and compares it with metrics.jsonl, number by number.

    python3 -m pip install tensorboard
    dunwu export --run runs/quickstart --to tensorboard events
    python3 rl/results/tensorboard_check.py runs/quickstart events

The second argument may also be the run's own folder `tensorboard` ([log] tensorboard = true). Event files hold 32-bit floats, so
numbers are compared as such. The exit code is 1 when one is missing, differs, or is there and should not be.
"""

import json
import math
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Keys of every line; all others are of a kind of stage.
SHARED = {
    "stage", "heldout_accuracy", "heldout_accuracy_interval", "peak_memory_bytes", "flops", "energy_wh", "cost",
}


def as_f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def numbers(tag, value):
    """The numbers in a value by their tags."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(f"{tag}/{key}", part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield tag, as_f32(value)


def logged(run):
    """What metrics.jsonl and evaluation.jsonl say: (tag, step) to the numbers, in order."""
    found = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(line)
        for key, value in line.items():
            if key in ("step", "kind"):
                continue
            group = "run" if key in SHARED else line.get("kind", "run")
            for tag, number in numbers(f"{group}/{key}", value):
                found.setdefault((tag, line["step"]), []).append(number)
    evaluations = run / "evaluation.jsonl"
    for line in evaluations.read_text().splitlines() if evaluations.is_file() else []:
        line = json.loads(line)
        for key, value in line["report"].items():
            for tag, number in numbers(f"evaluation/{key}", value):
                found.setdefault((tag, line["step"]), []).append(number)
    return found


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(event.value)
    return found


def main():
    run, folder = Path(sys.argv[1]), Path(sys.argv[2])
    expected, found = logged(run), read(folder)
    same = lambda a, b: len(a) == len(b) and all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b))
    wrong = [key for key in expected.keys() | found.keys() if not same(expected.get(key, []), found.get(key, []))]
    for tag, step in sorted(wrong)[:20]:
        key = (tag, step)
        print(f"{tag} at step {step}: logged {expected.get(key)}, TensorBoard reads {found.get(key)}")
    tags = {tag for tag, _ in found}
    print(f"{len(found)} numbers of {len(tags)} tags, {len(wrong)} wrong")
    sys.exit(bool(wrong) or not found)


if __name__ == "__main__":
    main()
