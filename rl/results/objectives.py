"""The quickstart with every objective, over seeds: what each learns with the same budget.

usage: python3 objectives.py DUNWU OUT_DIR [--seeds 1 2 3] [--set KEY=VALUE …]

For each seed the supervised stage of configs/quickstart.toml is run once; each objective then starts GRPO from its model. Prints a
Markdown table and writes every run's directory below OUT_DIR. Needs Python 3.11, nothing else.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "quickstart.toml"
OBJECTIVES = ["grpo", "bnpo", "dr-grpo", "dapo", "gspo", "gspo-token", "cispo", "sapo", "luspo", "rloo", "reinforce++", "gmpo"]


def run(dunwu, config, directory, settings):
    if not (directory / "summary.json").exists():
        command = [dunwu, "train", config, "--run-dir", directory]
        command += [part for setting in settings for part in ("--set", setting)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=open(f"{directory}.log", "w"))
    return json.loads((directory / "summary.json").read_text())


def parts(out):
    """The quickstart as two configs: its supervised stage, and GRPO from the model that it left."""
    text = CONFIG.read_text()
    head, sft, grpo = text.split("[[stages]]")
    sft = sft.replace("# A stand-in for pre-training.", "")
    (out / "sft.toml").write_text(f"{head}[[stages]]{sft}")
    before, after = head.split("[model]")
    rest = after[after.index("[data.task]"):]
    (out / "grpo.toml").write_text(f'{before}[model]\nsource = "pretrained"\npath = "${{BASE}}"\n\n{rest}[[stages]]{grpo}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dunwu")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    parts(out)
    rows = {}
    for seed in options.seeds:
        base = out / f"sft-{seed}"
        run(options.dunwu, out / "sft.toml", base, [f"seed={seed}"])
        grpo = (out / "grpo.toml").read_text().replace("${BASE}", str(next(base.glob("checkpoints/*/model"))))
        (out / f"grpo-{seed}.toml").write_text(grpo)
        for objective in options.objectives:
            settings = [f"seed={seed}", f"stages.grpo.loss={objective}", *options.set]
            summary = run(options.dunwu, out / f"grpo-{seed}.toml", out / f"{objective}-{seed}", settings)
            rows.setdefault(objective, []).append(summary)
            print(objective, seed, summary["heldout_accuracy_before"], summary["heldout_accuracy_after"],
                  round(summary["seconds"]), file=sys.stderr, flush=True)
    print("| `loss` | held-out before | after, each seed | gain, least | mean length after | seconds |\n|---|---|---|---|---|---|")
    for objective, summaries in rows.items():
        before = [100 * s["heldout_accuracy_before"] for s in summaries]
        after = [100 * s["heldout_accuracy_after"] for s in summaries]
        gain = min(b - a for a, b in zip(before, after))
        length = statistics.mean(s["after"]["greedy_length_mean"] for s in summaries)
        seconds = statistics.median(s["seconds"] for s in summaries)
        show = lambda values: ", ".join(f"{value:.1f}" for value in values)
        print(f"| `{objective}` | {show(before)} | {show(after)} | {gain:+.1f} | {length:.1f} | {seconds:.0f} |")


main()
