"""Adapters across programs: PEFT's read by dunwu, and dunwu's read by PEFT. What both compute is compared; nothing is stored here.

usage: python tests/golden/peers/peft_peers.py target/release/dunwu > rl/results/peers-peft.md
Needs: torch transformers peft tokenizers. Run from the repository's root. The bases are the tiny models of tests/golden, with
a tokenizer of their ids put beside them (`t7` is token 7). A row's figure is the largest difference between log-probabilities
of 3 sequences of 12 random tokens, in f32 on both sides. Exits 1 where one is above 1e-4, or a refusal does not name its option.
"""
import json
import random
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
DUNWU = str(Path(sys.argv[1]).resolve())
GOLDEN = Path("tests/golden")
BAR = 1e-4
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PLAIN = dict(r=2, lora_alpha=4, target_modules=ALL)

# Option, base, what LoraConfig gets, and what the refusal must name (None: has to be read).
CASES = [
    ("plain", "tiny/llama", PLAIN, None),
    ("alpha_pattern by name", "tiny/llama", {**PLAIN, "alpha_pattern": {"q_proj": 16}}, None),
    ("alpha_pattern by expression", "tiny/llama", {**PLAIN, "alpha_pattern": {r".*layers\.(0|1)\.mlp\.(up|down)_proj": 9, "k_proj": 0.5}}, None),
    ("alpha_pattern anchored", "tiny/llama", {**PLAIN, "alpha_pattern": {r"^model.layers.1.self_attn.v_proj": 32}}, None),
    ("rank_pattern", "tiny/llama", {**PLAIN, "rank_pattern": {r"layers\.0.self_attn.q_proj": 4, "down_proj": 1}}, None),
    ("rank_pattern and alpha_pattern", "tiny/qwen3", {**PLAIN, "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 3, "o_proj": 1}}, None),
    ("rsLoRA", "tiny/llama", {**PLAIN, "use_rslora": True}, None),
    ("rsLoRA, rank_pattern and alpha_pattern", "tiny/qwen2", {**PLAIN, "use_rslora": True, "rank_pattern": {"v_proj": 5}, "alpha_pattern": {"v_proj": 7}}, None),
    ("layers_to_transform, a list", "tiny/llama", {**PLAIN, "layers_to_transform": [1]}, None),
    ("layers_to_transform, a number, and layers_pattern", "tiny/llama", {**PLAIN, "layers_to_transform": 0, "layers_pattern": "layers"}, None),
    ("targets: a regular expression", "tiny/llama", {**PLAIN, "target_modules": r".*\.layers\.1\..*(q_proj|up_proj)"}, None),
    ("targets: all-linear", "tiny/llama", {**PLAIN, "target_modules": "all-linear"}, None),
    ("targets: full names", "tiny/llama", {**PLAIN, "target_modules": ["model.layers.0.self_attn.v_proj", "layers.1.mlp.gate_proj"]}, None),
    ("targets: an expression with look-ahead", "tiny/llama", {**PLAIN, "target_modules": r"(?!.*layers\.0).*q_proj"}, "target_modules"),
    ("exclude_modules, a list", "tiny/llama", {**PLAIN, "exclude_modules": ["layers.0.self_attn.q_proj", "up_proj"]}, None),
    ("exclude_modules, an expression", "tiny/llama", {**PLAIN, "exclude_modules": r".*layers\.0\..*"}, None),
    ("modules_to_save: lm_head", "tiny/qwen2", {**PLAIN, "modules_to_save": ["lm_head"]}, None),
    ("modules_to_save: lm_head, tied", "tiny/qwen3", {**PLAIN, "modules_to_save": ["lm_head"]}, None),
    ("modules_to_save: embed_tokens", "tiny/qwen2", {**PLAIN, "modules_to_save": ["embed_tokens"]}, None),
    ("modules_to_save: embed_tokens and lm_head", "tiny/llama", {**PLAIN, "modules_to_save": ["embed_tokens", "lm_head"]}, None),
    ("modules_to_save: norms", "tiny/qwen2", {**PLAIN, "modules_to_save": ["input_layernorm", "norm"]}, None),
    ("modules_to_save: a linear map", "tiny/llama", {**PLAIN, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["down_proj"]}, None),
    ("targets with lm_head", "tiny/qwen2", {**PLAIN, "target_modules": ["q_proj", "lm_head"]}, "lm_head"),
    ("targets with embed_tokens", "tiny/qwen2", {**PLAIN, "target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
    ("DoRA", "tiny/llama", {**PLAIN, "use_dora": True}, "use_dora"),
    ("bias = lora_only", "tiny/qwen2", {**PLAIN, "bias": "lora_only"}, "bias"),
    ("lora_bias", "tiny/llama", {**PLAIN, "lora_bias": True}, "lora_bias"),
    ("trainable_token_indices", "tiny/qwen2", {**PLAIN, "trainable_token_indices": [1, 2]}, "trainable_token_indices"),
    ("layer_replication", "tiny/llama", {**PLAIN, "layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    ("llama3 rope scaling", "tiny/llama3_rope", PLAIN, None),
    *((f"family {name}", f"families/{name}", {**PLAIN, "target_modules": "all-linear"}, None) for name in
      ["gemma3", "granite", "mistral", "olmo2", "olmo3", "smollm3", "qwen3_yarn", "minicpm3", "youtu"]),
    ("family phi3: fused maps", "families/phi3", {**PLAIN, "target_modules": ["gate_up_proj", "down_proj"]}, "gate_up_proj"),
    ("experts, all-linear", "families/deepseek_v3", {**PLAIN, "target_modules": "all-linear"}, "target_parameters"),
    *((f"latent attention alone: {name}", f"families/{name}", {**PLAIN, "target_modules": ["q_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]}, None) for name in
      ["deepseek_v2", "deepseek_v3"]),
    *((f"experts, attention alone: {name}", f"tiny/{name}", {**PLAIN, "target_modules": ["q_proj", "v_proj"]}, None) for name in
      ["qwen3_moe", "mixtral", "granitemoe", "olmoe"]),
]

# What is trained by dunwu: base, [lora], an adapter of PEFT to begin with (its options).
TRAINED = [
    ("all maps", "tiny/llama", dict(rank=4, alpha=8.0), None),
    ("two maps, other alpha", "tiny/qwen2", dict(rank=3, alpha=7.0, targets=["q_proj", "down_proj"]), None),
    ("tied", "tiny/qwen3", dict(rank=4, alpha=8.0), None),
    ("llama3 rope scaling", "tiny/llama3_rope", dict(rank=2, alpha=4.0), None),
    ("experts, attention alone", "tiny/qwen3_moe", dict(rank=2, alpha=4.0, targets=["q_proj", "v_proj"]), None),
    ("family gemma3", "families/gemma3", dict(rank=2, alpha=4.0), None),
    ("family phi3", "families/phi3", dict(rank=2, alpha=4.0), None),
    ("family olmo2", "families/olmo2", dict(rank=2, alpha=4.0), None),
    ("family deepseek_v3", "families/deepseek_v3", dict(rank=2, alpha=4.0, targets=["o_proj", "kv_b_proj", "q_proj"]), None),
    ("from PEFT's, plain", "tiny/llama", dict(rank=2, alpha=4.0), PLAIN),
    ("from PEFT's, rank_pattern and alpha_pattern", "tiny/llama", dict(rank=2, alpha=4.0),
     {**PLAIN, "rank_pattern": {"down_proj": 1}, "alpha_pattern": {"q_proj": 16}}),
    ("from PEFT's, rsLoRA", "tiny/llama", dict(rank=2, alpha=4.0), {**PLAIN, "use_rslora": True}),
    ("from PEFT's, layers_to_transform", "tiny/llama", dict(rank=2, alpha=4.0), {**PLAIN, "layers_to_transform": [1]}),
    ("from PEFT's, modules_to_save", "tiny/qwen3", dict(rank=2, alpha=4.0), {**PLAIN, "modules_to_save": ["lm_head"]}),
]


def base(path, name):
    """The tiny model `name` with a tokenizer beside it, below `path`."""
    target = path / name.replace("/", "-")
    if not target.exists():
        shutil.copytree(GOLDEN / name, target, ignore=shutil.ignore_patterns("*.gguf", "logprobs.json"))
        size = json.loads((target / "config.json").read_text())["vocab_size"]
        words = Tokenizer(WordLevel({f"t{i}": i for i in range(size)}, unk_token="t0"))
        words.pre_tokenizer = WhitespaceSplit()
        words.save(str(target / "tokenizer.json"))
        (target / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "t1"}))
    return target


def sequences(model):
    size = json.loads((model / "config.json").read_text())["vocab_size"]
    draw = random.Random(str(model.name))
    return [[draw.randrange(size) for _ in range(12)] for _ in range(3)]


def theirs(model, ids):
    with torch.no_grad():
        rows = [model(torch.tensor([row])).logits[0].float().log_softmax(-1) for row in ids]
    return [[row[i, token].item() for i, token in enumerate(seq[1:])] for row, seq in zip(rows, ids)]


def call(*words, text=None):
    return subprocess.run([DUNWU, *map(str, words)], input=text, capture_output=True, text=True, timeout=170)


def ours(ids, *model):
    """Log-probabilities of every token but the first, or the error."""
    rows = [{"prompt": f"t{seq[0]}", "completion": "".join(f" t{i}" for i in seq[1:])} for seq in ids]
    done = call("score", *model, "--device", "flex", "--no-special-tokens", text="".join(json.dumps(row) + "\n" for row in rows))
    if done.returncode:
        return None, next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr[-300:])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["token_ids"] for line in lines] == [seq[1:] for seq in ids], "other tokens"
    return [line["logprobs"] for line in lines], None


def difference(one, other):
    return max(abs(a - b) for x, y in zip(one, other) for a, b in zip(x, y))


def loaded(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()


def adapter(path, model, options, seed):
    """PEFT's adapter with random weights, saved at `path`; what it computes, and how far that is from the base."""
    ids = sequences(model)
    torch.manual_seed(seed)
    plain = loaded(model)
    before = theirs(plain, ids)
    changed = get_peft_model(plain, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)).eval()
    for name, value in changed.named_parameters():
        if "modules_to_save" in name or (".lora_" not in name and value.requires_grad):
            value.data += 0.1 * torch.randn_like(value)
    changed.save_pretrained(path)
    return before, theirs(changed, ids)


def trained(path, model, lora, begin):
    """A run of dunwu on `model`; its directory, or the error."""
    rows = sequences(model) * 2
    lines = [{"prompt": f"t{seq[0]} t{seq[1]}", "completion": "".join(f" t{i}" for i in seq[2:])} for seq in rows]
    (path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = f"adapter = {json.dumps(str(begin))}\n" if begin else ""
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lora.items())
    (path / "run.toml").write_text(
        f'name = "peer"\nseed = 1\ndevice = "flex"\n[model]\nsource = "pretrained"\npath = {json.dumps(str(model))}\n{more}\n[lora]\n{lines}\n'
        '[[stages]]\nkind = "sft"\nsteps = 3\nbatch = 4\nfile = "rows.jsonl"\nlearning_rate = 0.02\n'
    )
    shutil.rmtree(path / "run", ignore_errors=True)
    done = call("train", path / "run.toml", "--run-dir", path / "run", "--no-preflight", "--quiet")
    if done.returncode:
        return None, next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr[-300:])
    return path / "run", None


def from_peft(path):
    for seed, (name, of, options, refusal) in enumerate(CASES):
        model = base(path, of)
        target = path / f"adapter-{seed}"
        try:
            before, after = adapter(target, model, options, seed)
        except Exception as error:  # PEFT itself does not do it
            yield name, of, "", f"PEFT refuses: {type(error).__name__}: {str(error).splitlines()[0][:80]}", True
            continue
        found, error = ours(sequences(model), "--model", model, "--adapter", target)
        if error:
            named = refusal is not None and refusal in error and "hint:" in error
            yield name, of, f"{difference(before, after):.2g}", f"refused: {error.replace(str(path), '…')}", named
        else:
            apart = difference(found, after)
            yield name, of, f"{difference(before, after):.2g}", f"{apart:.1e}", apart <= BAR and refusal is None


def from_dunwu(path):
    for seed, (name, of, lora, options) in enumerate(TRAINED):
        model = base(path, of)
        ids = sequences(model)
        begin = None
        if options:
            begin = path / f"begin-{seed}"
            adapter(begin, model, options, seed)
        run, error = trained(path, model, lora, begin)
        if error:
            yield name, of, "", f"refused: {error.replace(str(path), '…')}", False
            continue
        found, error = ours(ids, "--model", run)
        out = path / f"exported-{seed}"
        exported = call("export", "--run", run, "--to", out, "--adapter")
        if error or exported.returncode:
            said = error or next(line for line in exported.stderr.splitlines() if line.startswith("error"))
            # PEFT has no maps of these names there.
            yield name, of, "", f"refused: {said.replace(str(path), '…')}", of.endswith("phi3") and "hint:" in said
            continue
        before = theirs(loaded(model), ids)
        after = theirs(PeftModel.from_pretrained(loaded(model), out).eval(), ids)
        apart = difference(found, after)
        moved = difference(before, after)
        yield name, of, f"{moved:.2g}", f"{apart:.1e}", apart <= BAR and moved > 10 * BAR


def table(title, columns, rows):
    print(f"\n## {title}\n\n| {columns} | the adapter's own change, nats | difference, nats | |\n|---|---|---|---|---|")
    good = True
    for name, of, moved, came, fine in rows:
        good &= fine
        print(f"| {name} | {of.split('/')[-1]} | {moved} | {came} | {'' if fine else '**no**'} |", flush=True)
    return good


def main():
    print("# Adapters in both programs\n")
    print("Written by `tests/golden/peers/peft_peers.py`, whose head says what is compared: log-probabilities of random tokens, tiny models, f32, at")
    print("most 1e-4 apart, or refused with the option's name and a hint.")
    print("Versions:", ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "peft")) + ".")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        good = table("PEFT's adapters, read by dunwu", "option | base", from_peft(path))
        good &= table("Adapters trained and exported by dunwu, read by PEFT", "run | base", from_dunwu(path))
    sys.exit(0 if good else 1)


main()
