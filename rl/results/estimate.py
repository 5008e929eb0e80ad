#!/usr/bin/env python3
"""What `dunwu check` says a run will need, against the most that the run held.

    DUNWU_SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf python3 rl/results/estimate.py target/release/dunwu

Run from the repository's root; only Python's standard library is needed. Prints a Markdown table. The exit code is 1 when an estimate
is further than 20 % from its peak.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SHORT = ["evaluation.problems=8", "evaluation.samples=0", "evaluation.every=0"]
LONGER = ["stages.grpo.steps=2", "sampling.max_tokens=64", "memory.token_budget=1024", "memory.batch_rows=32", "memory.workers=1", *SHORT]
RUNS = {
    "`quickstart`, whole": ("configs/quickstart.toml", []),
    "`smollm2-arithmetic` as it is, two steps": ("configs/smollm2-arithmetic.toml", ["stages.grpo.steps=2", *SHORT]),
    "the same, 64 tokens": ("configs/smollm2-arithmetic.toml", LONGER),
    "the same, nothing kept from sampling": ("configs/smollm2-arithmetic.toml", [*LONGER, "memory.recorded_tokens=0"]),
    "the same, activations checkpointed": ("configs/smollm2-arithmetic.toml", [*LONGER, "memory.checkpoint_activations=true"]),
    "64 tokens, LoRA": ("configs/smollm2-arithmetic.toml", [*LONGER, "lora.rank=16"]),
    "64 tokens, LoRA on a base in bf16": ("configs/smollm2-arithmetic.toml", [*LONGER, "lora.rank=16", "memory.frozen=bf16"]),
    "64 tokens, a KL penalty": ("configs/smollm2-arithmetic.toml", [*LONGER, "stages.grpo.beta=0.01"]),
}


def main():
    dunwu = os.path.abspath(sys.argv[1])
    worst = 0.0
    print("| run | estimate | peak | difference |\n|---|---|---|---|")
    for name, (config, settings) in RUNS.items():
        sets = [part for setting in settings for part in ("--set", setting)]
        check = subprocess.run([dunwu, "check", config, *sets], check=True, capture_output=True, text=True)
        estimate = float(re.search(r"^ *peak +([\d.]+) MiB", check.stdout + check.stderr, re.M)[1])
        with tempfile.TemporaryDirectory() as directory:
            run = Path(directory) / "run"
            command = [dunwu, "train", config, "--device", "flex", "--no-preflight", "--run-dir", run, *sets]
            subprocess.run(command, check=True, capture_output=True)
            peak = json.loads((run / "summary.json").read_text())["peak_memory_bytes"] / 2**20
        difference = estimate / peak - 1
        worst = max(worst, abs(difference))
        print(f"| {name} | {estimate:.0f} MiB | {peak:.0f} MiB | {100 * difference:+.0f} % |", flush=True)
    sys.exit(worst > 0.2)


main()
