#!/usr/bin/env python3
"""Kills a run (SIGKILL) at random moments, resumes it, and compares it with one that was never stopped.

    python3 rl/results/kill_and_resume.py target/release/dunwu quickstart
    DUNWU_SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf python3 rl/results/kill_and_resume.py target/release/dunwu smollm2-lora

Run from the repository's root; only Python's standard library is needed. Compared are metrics.jsonl (without the keys that
measure the machine, which end in _s or _bytes, energy and cost), completions.jsonl, evaluation.jsonl, heldout.jsonl, and every file of the last checkpoint: weights, adapters,
the optimiser's moments, and state.json without its seconds. Every kill is of a run of its own, at a moment drawn uniformly from
the time that the whole run took. The exit code is 1 when anything differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Shortened, and with all that a checkpoint has to carry: moments, schedules, a reference, several updates a batch, and steps
# that are lost because they were not saved yet.
RUNS = {
    "quickstart": (
        "configs/quickstart.toml",
        [
            "stages.sft.steps=120",
            "stages.grpo.steps=24",
            "stages.grpo.beta=0.01",
            "stages.grpo.iterations=2",
            "stages.grpo.schedule=cosine",
            "evaluation.problems=40",
            "evaluation.every=8",
            "checkpoint.every=10",
        ],
    ),
    "smollm2-lora": (
        "configs/smollm2-arithmetic.toml",
        [
            "lora.rank=8",
            "stages.grpo.steps=4",
            "stages.grpo.prompts=2",
            "stages.grpo.group=4",
            "stages.grpo.learning_rate=1e-4",
            "stages.grpo.beta=0.01",
            "evaluation.problems=4",
            "evaluation.samples=0",
            "evaluation.every=0",
            "checkpoint.every=2",
        ],
    ),
}


def command(dunwu, name, run_dir, resume):
    config, overrides = RUNS[name]
    line = [dunwu, "train", config, "--device", "flex", "--no-preflight", "--run-dir", str(run_dir)]
    for override in overrides:
        line += ["--set", override]
    return line + (["--resume"] if resume else [])


def run(dunwu, name, run_dir, resume=False):
    start = time.monotonic()
    subprocess.run(command(dunwu, name, run_dir, resume), check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def metrics(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    measured = lambda key: key.endswith(("_s", "_bytes")) or key.startswith("energy_") or key == "cost"
    return [{key: value for key, value in line.items() if not measured(key)} for line in lines]


def logs(run_dir):
    return [(run_dir / name).read_bytes() for name in ("completions.jsonl", "evaluation.jsonl", "heldout.jsonl")]


def checkpoint(run_dir):
    """The files of the last checkpoint, by a digest of their bytes."""
    last = sorted((run_dir / "checkpoints").glob("step-*"))[-1]
    files = {}
    for path in sorted(path for path in last.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "state.json":
            state = json.loads(content)
            del state["elapsed_s"]
            content = json.dumps(state).encode()
        files[str(path.relative_to(last))] = hashlib.sha256(content).hexdigest()
    return files


def steps_saved(run_dir):
    names = [path.name for path in (run_dir / "checkpoints").glob("step-*")]
    return max((int(name.removeprefix("step-")) for name in names), default=None)


def kill_at(dunwu, name, run_dir, moment):
    """Starts the run and kills it after `moment` seconds. Says whether it was still running."""
    child = subprocess.Popen(command(dunwu, name, run_dir, False), stderr=subprocess.DEVNULL)
    try:
        child.wait(moment)
        return False
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dunwu", help="the program")
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    arguments = parser.parse_args()
    dunwu = os.path.abspath(arguments.dunwu)
    draw = random.Random(arguments.seed)
    good = 0
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        whole = directory / "whole"
        seconds = run(dunwu, arguments.run, whole)
        expected = metrics(whole), logs(whole), checkpoint(whole)
        again = directory / "again"
        run(dunwu, arguments.run, again)
        same = (metrics(again), logs(again), checkpoint(again)) == expected
        shutil.rmtree(again)
        steps = len(expected[0])
        print(f"{arguments.run}: {steps} steps in {seconds:.1f} s; a second process: {'identical' if same else 'DIFFERENT'}\n")
        print("| kill | after | logged | saved | metrics | completions, evaluations | weights, moments, state |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for kill in range(1, arguments.kills + 1):
            cut = directory / "cut"
            killed, moment = False, 0.0
            while not killed:  # a run that was over before its kill does not count
                shutil.rmtree(cut, ignore_errors=True)
                moment = draw.uniform(0.0, seconds)
                killed = kill_at(dunwu, arguments.run, cut, moment)
            log = cut / "metrics.jsonl"
            logged = log.read_bytes().count(b"\n") if log.is_file() else 0
            saved = steps_saved(cut)
            begun = (cut / "config.toml").is_file()  # else it was killed while it loaded its model
            if not begun:
                shutil.rmtree(cut, ignore_errors=True)
            run(dunwu, arguments.run, cut, resume=begun)
            found = metrics(cut), logs(cut), checkpoint(cut)
            equal = [ours == theirs for ours, theirs in zip(found, expected)]
            good += all(equal)
            cells = ["identical" if one else "DIFFERENT" for one in equal]
            if not equal[2]:
                differing = sorted(name for name in found[2] | expected[2] if found[2].get(name) != expected[2].get(name))
                cells[2] += ": " + ", ".join(differing)
            shown = "none" if saved is None else f"step {saved}"
            print(f"| {kill} | {moment:.2f} s | {logged} steps | {shown} | {' | '.join(cells)} |", flush=True)
    print(f"\n{good} of {arguments.kills} identical")
    sys.exit(0 if same and good == arguments.kills else 1)


if __name__ == "__main__":
    main()
