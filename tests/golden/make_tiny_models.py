"""Tiny random models of each family with golden log-probabilities by transformers.

usage: python make_tiny_models.py     writes tiny/<name>/ beside this script
Needs: torch transformers. Made with torch 2.15.0 (CPU), transformers 5.23.0.

  llama          tied head, grouped-query attention; float32; config.json as transformers 5 writes it (`rope_parameters`, `dtype`)
  llama3_rope    untied head, llama3 rope scaling with a frequency in each of its three bands; float32 in shards with an index;
                 two EOS ids; config.json as transformers 4 wrote it (`rope_theta`, `rope_scaling`, `torch_dtype`)
  qwen2          attention biases, untied head; bfloat16; config.json as transformers 4 wrote it
  qwen3          query and key norms, head_dim * heads != hidden_size, tied head; float16; config.json as transformers 5 writes it

Norm weights and biases are random too, so that leaving one out shows. tiny/<name>/logprobs.json: `input_ids` of two sequences,
and `logprobs[sequence][position][token]`, the log-softmax of the logits at every position, computed in float32 from the
weights as stored (for bfloat16 and float16: upcast first), each sequence on its own.
"""
import json
import shutil
from pathlib import Path

import torch
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM, __version__)

HERE = Path(__file__).parent
VOCABULARY = 64
COMMON = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=128)

# name: (model, stored as, largest shard, config.json in the form of transformers 4)
MODELS = {
    "llama": (lambda: LlamaForCausalLM(LlamaConfig(
        **COMMON, intermediate_size=24, tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0})), torch.float32, "1GB", False),
    "llama3_rope": (lambda: LlamaForCausalLM(LlamaConfig(
        **{**COMMON, "eos_token_id": [2, 3]}, intermediate_size=16, tie_word_embeddings=False, rms_norm_eps=1e-5,
        rope_parameters=LLAMA3)), torch.float32, "20KB", True),
    "qwen2": (lambda: Qwen2ForCausalLM(Qwen2Config(
        **COMMON, intermediate_size=48, tie_word_embeddings=False, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})), torch.bfloat16, "1GB", True),
    "qwen3": (lambda: Qwen3ForCausalLM(Qwen3Config(
        **COMMON, head_dim=12, intermediate_size=48, tie_word_embeddings=True, rms_norm_eps=1e-6, attention_bias=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})), torch.float16, "1GB", False),
}


@torch.no_grad()
def randomise(model):
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.copy_(1 + 0.3 * torch.randn_like(weight))
        elif name.endswith("bias"):
            weight.copy_(0.5 * torch.randn_like(weight))
        elif "embed" in name or "lm_head" in name:
            weight.copy_(0.4 * torch.randn_like(weight))
        else:
            weight.copy_(0.25 * torch.randn_like(weight))


def older_config(path):
    """Rewrites a config.json to the keys that transformers 4 used, which most published checkpoints have."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config.pop("layer_types", None)
    config["transformers_version"] = "4.51.0"
    path.write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")


def logprobs(model, sequences):
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].log_softmax(-1) for ids in sequences]


def main():
    for seed, (name, (build, dtype, shard, older)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        target = HERE / "tiny" / name
        shutil.rmtree(target, ignore_errors=True)
        model = build()
        randomise(model)
        model.to(dtype).save_pretrained(target, max_shard_size=shard)
        for file in target.iterdir():
            file.chmod(0o644)
        if older:
            older_config(target / "config.json")
        # Long enough that every rotary frequency turns visibly; the second is short and repeats tokens.
        sequences = [torch.randint(3, VOCABULARY, (36,)).tolist(), [1, 5, 5, 5, 9, 63, 2]]
        single = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
        values = logprobs(single, sequences)
        double = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float64).eval()
        error = max((a - b).abs().max().item() for a, b in zip(values, logprobs(double, sequences)))
        rows = ",\n".join("[" + ",\n".join(
            "[" + ",".join(f"{value:.7g}" for value in position) + "]" for position in sequence.tolist()) + "]" for sequence in values)
        (target / "logprobs.json").write_text(
            f'{{"transformers_version": "{__version__}", "input_ids": {json.dumps(sequences)},\n"logprobs": [\n{rows}\n]}}\n')
        json.loads((target / "logprobs.json").read_text())
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, log-probabilities from "
              f"{values[0].min().item():.2f} to {values[0].max().item():.2f}, float32 is off float64 by {error:.1e}")


main()
