"""Adapters of PEFT on a tiny model, and what the two compute together.

usage: python make_peft_golden.py     writes peft/ beside this script
Needs: torch transformers peft safetensors. Made with torch 2.15.0, transformers 5.24.0, peft 0.21.2.

peft/<name>/: an adapter as PEFT saves it, all its weights random, for tiny/<base>. peft.json: {"ids", "cases": {name: {"base",
"logprobs"}}}: log-probabilities of every next token of `ids`, with the adapter, the next token's only.
"""
import json
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
OUT = HERE / "peft"
IDS = [5, 17, 3, 42, 9, 9, 61, 0, 33, 12, 7, 28]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "plain": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL)),
    "alpha_pattern": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL, alpha_pattern={"q_proj": 16, "layers.1.mlp.up_proj": 1})),
    "rank_pattern": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL, rank_pattern={r"layers\.0.self_attn.q_proj": 4, "down_proj": 1})),
    "rslora": ("llama", dict(r=4, lora_alpha=4, target_modules=["q_proj", "v_proj"], use_rslora=True, rank_pattern={"v_proj": 2})),
    "layers": ("llama", dict(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[1])),
    "layers_pattern": ("llama", dict(r=2, lora_alpha=4, target_modules=["q_proj"], layers_to_transform=0, layers_pattern="layers")),
    "all_linear": ("llama", dict(r=2, lora_alpha=4, target_modules="all-linear")),
    "regex": ("llama", dict(r=2, lora_alpha=4, target_modules=r".*\.layers\.1\..*(q_proj|up_proj)")),
    "full_names": ("llama", dict(r=2, lora_alpha=4, target_modules=["model.layers.0.self_attn.v_proj", "layers.1.mlp.gate_proj"])),
    "excluded": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL, exclude_modules=["layers.0.self_attn.q_proj", "up_proj"])),
    "head_saved": ("qwen2", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "tied_head_saved": ("qwen3", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "embedding_saved": ("qwen3", dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["embed_tokens"])),
    "norms_saved": ("qwen2", dict(r=2, lora_alpha=4, target_modules=["o_proj"], modules_to_save=["input_layernorm"])),
}


def main():
    OUT.mkdir(exist_ok=True)
    cases = {}
    for seed, (name, (base, options)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(HERE / "tiny" / base, dtype=torch.float32)
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)).eval()
        for key, value in model.named_parameters():
            if "modules_to_save" in key:
                value.data += 0.1 * torch.randn_like(value)
        model.save_pretrained(OUT / name)
        (OUT / name / "README.md").unlink(missing_ok=True)
        config = json.loads((OUT / name / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = f"tiny/{base}"
        (OUT / name / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        with torch.no_grad():
            logprobs = model(torch.tensor([IDS])).logits[0].log_softmax(-1)
        cases[name] = {"base": base, "logprobs": [logprobs[i, IDS[i + 1]].item() for i in range(len(IDS) - 1)]}
        print(name, len(list((OUT / name).iterdir())), cases[name]["logprobs"][:3])
    golden = {"versions": {p: version(p) for p in ("torch", "transformers", "peft")}, "ids": IDS, "cases": cases}
    (OUT / "peft.json").write_text(json.dumps(golden) + "\n")


main()
