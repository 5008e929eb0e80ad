#!/usr/bin/env python3
"""Tries inputs of the kind that public reports are about, and prints what came of each: the rows of rl/results/reports.md.

    python3 rl/results/reports.py target/release/dunwu

Run from the repository's root on Linux; only Python's standard library and bash are needed. Takes about half a minute.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DUNWU = os.path.abspath(sys.argv[1])
QUICKSTART = Path("configs/quickstart.toml").resolve()
TINY = [
    "stages.sft.steps=3", "stages.sft.batch=8", "stages.grpo.steps=4", "stages.grpo.prompts=2", "stages.grpo.group=4",
    "model.hidden_size=16", "model.intermediate_size=16", "model.layers=1", "sampling.max_tokens=12", "evaluation.problems=5",
    "checkpoint.every=1",
]  # fmt: skip
NO_PREFLIGHT = ("--no-preflight",)


def sets(settings):
    return [part for setting in settings for part in ("--set", setting)]


def train(name, settings=(), more=NO_PREFLIGHT, config=QUICKSTART):
    return [DUNWU, "train", str(config), "--run-dir", name, *sets(TINY), *sets(settings), *more]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    told = [line for line in done.stderr.splitlines() if line.startswith(("error", "warning", "hint"))]
    return done.returncode, " | ".join(told)[-300:]


def figures(name, key):
    lines = Path(name, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line).get(key) for line in lines]


def show(what, came):
    print(f"{what}: {came}", flush=True)


def until(process, start):
    for line in process.stderr:
        if line.startswith(start):
            return


def signalled(number, name, settings=(), when="grpo 1/", wait=0.0):
    """The exit code, the seconds it took, and the checkpoints; for SIGUSR1 whether it still runs after three seconds."""
    settings = ["checkpoint.every=1000", *(settings or ["stages.grpo.steps=2000"])]
    process = subprocess.Popen(train(name, settings, (*NO_PREFLIGHT, "--ignore-alarms")), stderr=subprocess.PIPE, text=True)
    until(process, when)
    time.sleep(wait)
    began = time.time()
    process.send_signal(number)
    if number == signal.SIGUSR1:
        time.sleep(3)
        came = "runs" if process.poll() is None else process.returncode
        process.kill()
    else:
        process.stderr.read()
        came = process.wait(), round(time.time() - began, 2)
    process.wait()
    return came, sorted(os.listdir(Path(name, "checkpoints")))


def jsonl(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def of_files(name, fields="[data.fields]\nprompt_style = \"text\"\n"):
    text = QUICKSTART.read_text()
    task = "[data.task]\ngenerator = \"chain-sum\"\nterms_min = 4\nterms_max = 6\n"
    traces = "[stages.traces]\nthink = 0.4\nslip = 0.01\nguess_sd = 4.0\nmalformed = 0.02\n"
    text = text.replace(task, f"[data]\nfile = \"d.jsonl\"\n{fields}").replace(traces, "")
    Path(name).write_text(text.replace("kind = \"sft\"", "kind = \"sft\"\nfile = \"e.jsonl\""))


def training():
    for settings in (["stages.grpo.group=1"], ["sampling.temperature=0"], ["stages.grpo.mini_batches=3"]):
        show(settings[0], run(train("refused", settings)))
    run(train("rate", ["stages.grpo.warmup_steps=3", "stages.grpo.schedule=linear"]))
    show("linear, warm-up of 3", figures("rate", "learning_rate")[3:])
    run(train("kl", ["stages.grpo.beta=0.1"]))
    show("KL from the first step", figures("kl", "kl")[3:])
    show("mask_truncated", run(train("mask", ["stages.grpo.mask_truncated=true"]))[0])
    show("all cut off", run(train("cut", ["sampling.max_tokens=1"], ())))
    show("equal rewards", run(train("equal", ["reward.rubric.components=[{kind=\"exact\"}]"], ())))
    show("warm-up of 500", run([DUNWU, "check", str(QUICKSTART), *sets(["stages.grpo.warmup_steps=500"])]))


def files():
    rows = [{"prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(60)]
    jsonl("d.jsonl", rows)
    jsonl("e.jsonl", [{"prompt": f"{i}+1=", "completion": f"<answer>{i + 1}</answer>"} for i in range(30)])
    of_files("files.toml")
    show("a file", run(train("files", config="files.toml"))[0])
    jsonl("d.jsonl", rows[:-1])
    resume = ("--no-preflight", "--resume")
    show("a row less, --resume", run(train("files", ["stages.grpo.steps=6"], resume, "files.toml")))
    jsonl("d.jsonl", [*rows[:31], {"prompt": "1" * 90, "answer": "1"}, *rows[32:]])
    show("long prompt, check", run([DUNWU, "check", "files.toml", *sets(TINY)]))
    show("long prompt, train", run(train("long", more=(), config="files.toml")))
    show("long prompt, dropped", run(train("drop", ["data.too_long=drop", "stages.grpo.steps=28"], ("--no-preflight", "--ignore-alarms"), "files.toml"))[0])
    show("skipped", sum(n or 0 for n in figures("drop", "skipped_prompts")))
    jsonl("d.jsonl", rows)
    of_files("chat.toml", "")
    show("conversations without template, check", run([DUNWU, "check", "chat.toml"]))
    show("conversations without template, train", run(train("chat", more=(), config="chat.toml")))
    show("  left behind", Path("chat").exists())
    Path("later.toml").write_text(QUICKSTART.read_text() + "\n[[stages]]\nkind = \"sft\"\nsteps = 2\nfile = \"later.jsonl\"\n")
    show("later file, check", run([DUNWU, "check", "later.toml"]))
    show("later file, train", run(train("later", more=(), config="later.toml")))
    show("  left behind", Path("later").exists())
    model = ["model={source=\"pretrained\", path=\"./nowhere\"}"]
    show("no such model, check", run([DUNWU, "check", str(QUICKSTART), *sets(model)]))


def running():
    for name, command in (("stderr", "2> >(head -1 > /dev/null)"), ("both", "2>&1 | head -1 > /dev/null")):
        words = " ".join(f"'{word}'" for word in train(f"pipe-{name}"))
        came = subprocess.run(["bash", "-c", f"{words} {command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
        show(f"closed pipe, {name}", (came.stdout.strip(), Path(f"pipe-{name}", "summary.json").exists()))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
        show(number.name, signalled(number, number.name))
    measuring = ["evaluation.problems=4000", "evaluation.samples=16", "model.layers=3"]
    show("SIGINT while measuring", signalled(signal.SIGINT, "measuring", measuring, "sft 3/", 1.0))
    first = subprocess.Popen(train("two", ["stages.grpo.steps=2000"]), stderr=subprocess.PIPE, text=True)
    until(first, "grpo 1/")
    second = train("two", ["stages.grpo.steps=2000"], ("--no-preflight", "--resume"))
    show("a second --resume", run(second))
    first.kill()
    first.wait()


def habits():
    for setting in ("device=cpu", "stages.grpo.loss=DAPO", "lora.lora_alpha=1"):
        show(setting, run([DUNWU, "check", str(QUICKSTART), *sets([setting])])[1][-60:])
    jsonl("failed.jsonl", [{"prompt": "1", "completion": "2"}])
    only = ["reward.rubric.components=[{kind=\"exact\"}]"]
    show("reward, every line failed", run([DUNWU, "reward", str(QUICKSTART), "failed.jsonl", *sets(only)]))
    jsonl("think.jsonl", [{"prompt": "Q\n<think>\n", "completion": "a\n</think>\n<answer>4</answer>", "answer": "4"}])
    judged = subprocess.run([DUNWU, "reward", str(QUICKSTART), "think.jsonl"], capture_output=True, text=True)
    show("format after the prompt's <think>", judged.stdout.strip()[:120])


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    training()
    files()
    running()
    habits()
