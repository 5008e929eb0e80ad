"""The learning curve of configs/quickstart.toml over ten seeds: what a run of it has to look like.

usage: python3 make_quickstart_curve.py DUNWU WORK_DIR     writes quickstart_curve.json beside this script

For each ten steps of GRPO, the mean over these steps of `reward_mean`, `pass_rate` and `length_mean`: mean and standard deviation
over the seeds. Made by dunwu itself: a change that moves the curve is seen, whether it is meant or not. The random numbers of a
seed are the same everywhere, the rounding of sums is not, so another processor gives another curve within the band.
"""
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parents[1] / "configs" / "quickstart.toml"
KEYS = ["reward_mean", "pass_rate", "length_mean"]
SEEDS = range(1, 11)


def curve(directory):
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if line["kind"] == "grpo"]
    tens = [steps[at:at + 10] for at in range(0, len(steps), 10)]
    return {key: [statistics.mean(step[key] for step in ten) for ten in tens] for key in KEYS}


def main():
    dunwu, work = sys.argv[1], Path(sys.argv[2]).resolve()
    curves, heldout = [], []
    for seed in SEEDS:
        directory = work / f"quickstart-{seed}"
        if not (directory / "summary.json").exists():
            command = [dunwu, "train", CONFIG, "--run-dir", directory, "--set", f"seed={seed}"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        curves.append(curve(directory))
        summary = json.loads((directory / "summary.json").read_text())
        heldout.append((summary["heldout_accuracy_before"], summary["heldout_accuracy_after"]))
    band = {"seeds": list(SEEDS), "heldout_before": [a for a, _ in heldout], "heldout_after": [b for _, b in heldout]}
    for key in KEYS:
        tens = list(zip(*(curve[key] for curve in curves)))
        band[key] = [{"mean": round(statistics.mean(ten), 4), "std": round(statistics.stdev(ten), 4)} for ten in tens]
    (HERE / "quickstart_curve.json").write_text(json.dumps(band, indent=1) + "\n")
    print(json.dumps(band))


main()
