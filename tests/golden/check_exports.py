"""Exports of the tiny golden models, read by transformers and by gguf-py.

usage: python check_exports.py PROGRAM [NAME…]     PROGRAM: the built `dunwu`
Needs: torch transformers gguf. Run with torch 2.15.0, transformers 5.24.0, gguf 0.19.0. Not part of CI.

Each model of tiny/ and families/ gets a vocabulary of words and is exported
  hf     as a Hugging Face directory, which transformers runs: the largest difference from the golden log-probabilities, and
         from those by transformers of the directory that the export was made of
  gguf   as a GGUF file in f32, whose tensors gguf-py reads; exported from there as a directory again (`again`), which
         transformers runs, where the file's architecture says all that there is to say
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent


def tokenizer(count):
    """A vocabulary of words w0, w1, …"""
    vocabulary = {f"w{i}": i for i in range(count)}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": None}}


def logprobs(directory, ids):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, experts_implementation="eager").eval()
    with torch.no_grad():
        return torch.stack([model(torch.tensor([row])).logits[0].log_softmax(-1) for row in [ids]])[0]


def run_directory(place, model):
    """A run whose newest checkpoint holds `model`, as `dunwu export` asks for."""
    step = place / "checkpoints" / "step-000001"
    shutil.copytree(model, step / "model")
    (step / "state.json").write_text("{}")
    # The card of an export tells of the run.
    shutil.copy(HERE.parent.parent / "configs" / "quickstart.toml", place / "config.toml")
    return place


def export(program, run, to, *more):
    done = subprocess.run([program, "export", "--run", run, "--to", to, *more], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1].rsplit(": ", 1)[-1])


def check(program, source):
    golden = json.loads((source / "logprobs.json").read_text())
    ids = golden["input_ids"]
    ids = ids[0] if isinstance(ids[0], list) else ids
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        model = scratch / "model"
        shutil.copytree(source, model, ignore=shutil.ignore_patterns("*.gguf", "logprobs.json"))
        size = json.loads((model / "config.json").read_text())["vocab_size"]
        (model / "tokenizer.json").write_text(json.dumps(tokenizer(size)))
        before = logprobs(model, ids)
        run = run_directory(scratch / "run", model)
        export(program, run, scratch / "hf")
        hf = (logprobs(scratch / "hf", ids) - before).abs().max().item()
        said = f"hf {hf:.1e}"
        try:
            export(program, run, scratch / "model.gguf", "--gguf", "f32")
        except RuntimeError as refused:
            return hf, f"{said}, gguf: {refused}"
        reader = GGUFReader(scratch / "model.gguf")
        said += f", gguf {len(reader.tensors)} tensors of {bytes(reader.fields['general.architecture'].parts[-1]).decode()}"
        step = scratch / "again-run" / "checkpoints" / "step-000001"
        step.mkdir(parents=True)
        shutil.move(scratch / "model.gguf", step / "model")
        (step / "state.json").write_text("{}")
        shutil.copy(run / "config.toml", scratch / "again-run")
        export(program, scratch / "again-run", scratch / "again")
        again = (logprobs(scratch / "again", ids) - before).abs().max().item()
        return max(hf, again), f"{said}, again {again:.1e}"


def main():
    program, *names = sys.argv[1:]
    program = str(Path(program).resolve())
    worst = 0.0
    for source in sorted([*(HERE / "tiny").iterdir(), *(HERE / "families").iterdir()]):
        if names and source.name not in names:
            continue
        try:
            difference, said = check(program, source)
        except Exception as error:
            difference, said = float("inf"), f"FAILED {type(error).__name__}: {error}"
        worst = max(worst, difference)
        print(f"{source.parent.name}/{source.name}: {said}", flush=True)
    print(f"worst {worst:.1e}")
    sys.exit(worst > 5e-5)


main()
