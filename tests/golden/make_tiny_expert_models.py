"""Tiny random mixtures of experts with golden log-probabilities by transformers.

usage: python make_tiny_expert_models.py [NAME…]     writes tiny/<name>/ beside this script
Needs: torch transformers. Made with torch 2.15.0 (CPU), transformers 5.24.0.

  deepseek_v2    latent attention without a latent of queries, yarn; softmax, the best of all experts
  deepseek_v2_groups   the same with a latent of queries; the best of the two groups whose largest score is largest, a scale
  deepseek_v3    latent attention, yarn; glm4_moe's router
  olmoe          weights as they are; norms over all heads of queries and of keys
  granitemoe     softmax of the chosen logits; experts stacked on disk; multipliers; tied head
  qwen3_moe      weights of the chosen divided by their sum, one dense layer among mixtures; norms of queries and keys; tied head
  qwen2_moe      weights as they are, an expert for all tokens behind a sigmoid, every second layer; biases
  mixtral        names of its own on disk
  glm4_moe       DeepSeek-V3's router (sigmoids, a correction for the choice, groups by the sum of their two largest, a scale) under
                 ordinary attention; two experts' width for all tokens; the first layer dense

Norm weights, biases and the corrections of routers are random too, so that leaving one out shows. Weights are stored as bfloat16,
log-probabilities computed in float32 from them, as in make_tiny_models.py. A choice must not hang on rounding: the seed of each
model is the first for which every choice of an expert, or of a group, is decided by more than GAP.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers as T
from transformers import AutoModelForCausalLM, __version__

HERE = Path(__file__).parent
VOCABULARY = 64
GAP = 1e-3
COMMON = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


def yarn(all_dimensions):
    # The original context is shorter than the first sequence, so that positions beyond it are among those compared.
    return dict(rope_type="yarn", rope_theta=1e4, factor=8.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1,
                mscale=all_dimensions, mscale_all_dim=all_dimensions)


LATENT = {**COMMON, "num_key_value_heads": 4, "kv_lora_rank": 20, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 8}
DEEPSEEK = dict(intermediate_size=40, moe_intermediate_size=12, n_routed_experts=8, num_experts_per_tok=3, first_k_dense_replace=1)

MODELS = {
    "deepseek_v2": lambda: T.DeepseekV2ForCausalLM(T.DeepseekV2Config(
        **LATENT, **DEEPSEEK, n_shared_experts=2, q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1,
        norm_topk_prob=False, routed_scaling_factor=1.0, rope_parameters=yarn(0.707))),
    "deepseek_v2_groups": lambda: T.DeepseekV2ForCausalLM(T.DeepseekV2Config(
        **LATENT, **DEEPSEEK, n_shared_experts=1, q_lora_rank=14, topk_method="group_limited_greedy", n_group=4, topk_group=2,
        norm_topk_prob=False, routed_scaling_factor=4.0, rope_parameters=yarn(0.707))),
    "deepseek_v3": lambda: T.DeepseekV3ForCausalLM(T.DeepseekV3Config(
        **LATENT, **DEEPSEEK, n_shared_experts=1, q_lora_rank=14, n_group=4, topk_group=2, norm_topk_prob=True,
        routed_scaling_factor=2.5, num_mtp_layers=0, rope_parameters=yarn(1.0))),
    "olmoe": lambda: T.OlmoeForCausalLM(T.OlmoeConfig(
        **COMMON, intermediate_size=14, num_experts=8, num_experts_per_tok=2, norm_topk_prob=False, rope_parameters=rope(1e4))),
    "granitemoe": lambda: T.GraniteMoeForCausalLM(T.GraniteMoeConfig(
        **COMMON, intermediate_size=14, num_local_experts=8, num_experts_per_tok=2, embedding_multiplier=12.0, logits_scaling=6.0,
        residual_multiplier=0.22, attention_multiplier=0.125, tie_word_embeddings=True, rope_parameters=rope(1e4))),
    "qwen3_moe": lambda: T.Qwen3MoeForCausalLM(T.Qwen3MoeConfig(
        **COMMON, head_dim=12, intermediate_size=48, moe_intermediate_size=14, num_experts=8, num_experts_per_tok=2,
        norm_topk_prob=True, mlp_only_layers=[1], tie_word_embeddings=True, rope_parameters=rope(1e6))),
    "qwen2_moe": lambda: T.Qwen2MoeForCausalLM(T.Qwen2MoeConfig(
        **COMMON, intermediate_size=48, moe_intermediate_size=14, shared_expert_intermediate_size=22, num_experts=8,
        num_experts_per_tok=3, norm_topk_prob=False, decoder_sparse_step=2, rope_parameters=rope(1e6))),
    "mixtral": lambda: T.MixtralForCausalLM(T.MixtralConfig(
        **COMMON, intermediate_size=14, num_local_experts=8, num_experts_per_tok=2, sliding_window=None,
        rope_parameters=rope(1e4))),
    "glm4_moe": lambda: T.Glm4MoeForCausalLM(T.Glm4MoeConfig(
        **COMMON, head_dim=8, intermediate_size=48, moe_intermediate_size=14, n_routed_experts=8, n_shared_experts=2,
        num_experts_per_tok=3, n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5,
        first_k_dense_replace=1, use_qk_norm=True, attention_bias=True, num_mtp_layers=0,
        rope_parameters=rope(1e6, partial_rotary_factor=1.0))),
}


@torch.no_grad()
def randomise(model):
    buffers = [(name, buffer) for name, buffer in model.named_buffers() if name.endswith("bias")]
    for name, weight in list(model.named_parameters()) + buffers:
        if "norm" in name:
            weight.copy_(1 + 0.3 * torch.randn_like(weight))
        elif name.endswith("correction_bias"):
            weight.copy_(0.3 * torch.randn_like(weight))
        elif name.endswith("bias"):
            weight.copy_(0.5 * torch.randn_like(weight))
        elif "embed" in name or "lm_head" in name:
            weight.copy_(0.4 * torch.randn_like(weight))
        else:
            weight.copy_(0.25 * torch.randn_like(weight))


def decided_by(values, kept):
    """How far the last that is chosen is from the first that is not, at least."""
    if kept >= values.shape[-1]:
        return float("inf")
    best = values.topk(kept + 1, -1)[0]
    return (best[..., kept - 1] - best[..., kept]).min().item()


def watch(model):
    """Makes routers tell by how much their choices are decided; the list is filled by each forward pass."""
    gaps = []

    def hook(router, _, output):
        logits, chosen = output[0].double(), output[2].shape[-1]
        correction = getattr(router, "e_score_correction_bias", None)
        limited = getattr(router, "topk_method", "") == "group_limited_greedy"
        if correction is None and not limited:
            gaps.append(decided_by(logits.softmax(-1), chosen))
            return
        scores = logits.softmax(-1) if correction is None else logits.sigmoid() + correction
        groups = scores.view(len(scores), router.num_group, -1)
        worth = groups.amax(-1) if correction is None else groups.topk(2, -1)[0].sum(-1)
        gaps.append(decided_by(worth, router.topk_group))
        kept = torch.zeros_like(worth).scatter(1, worth.topk(router.topk_group, -1)[1], 1).bool()
        rest = groups.masked_fill(~kept[..., None], -float("inf")).flatten(1)
        gaps.append(decided_by(rest, chosen))

    for module in model.modules():
        if "Router" in type(module).__name__:
            module.register_forward_hook(hook)
    return gaps


def logprobs(model, sequences):
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].log_softmax(-1) for ids in sequences]


def make(name, build, seed):
    """Writes a model and gives what the golden file is made of, and by how much its choices are decided."""
    torch.manual_seed(seed)
    target = HERE / "tiny" / name
    shutil.rmtree(target, ignore_errors=True)
    model = build()
    randomise(model)
    model.to(torch.bfloat16).save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)
    sequences = [torch.randint(3, VOCABULARY, (36,)).tolist(), [1, 5, 5, 5, 9, 63, 2]]
    load = lambda dtype: AutoModelForCausalLM.from_pretrained(target, dtype=dtype, experts_implementation="eager").eval()
    single, double = load(torch.float32), load(torch.float64)
    gaps = watch(double)
    values, exact = logprobs(single, sequences), logprobs(double, sequences)
    error = max((a - b).abs().max().item() for a, b in zip(values, exact))
    assert gaps, "no router was seen"
    return target, sequences, values, error, min(gaps)


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or MODELS:
        for seed in range(1000):
            target, sequences, values, error, gap = make(name, MODELS[name], seed)
            if gap > GAP:
                break
        else:
            raise SystemExit(f"{name}: no seed decides every choice by more than {GAP}")
        rows = ",\n".join("[" + ",\n".join(
            "[" + ",".join(f"{value:.7g}" for value in position) + "]" for position in sequence.tolist()) + "]" for sequence in values)
        (target / "logprobs.json").write_text(
            f'{{"transformers_version": "{__version__}", "input_ids": {json.dumps(sequences)},\n"logprobs": [\n{rows}\n]}}\n')
        json.loads((target / "logprobs.json").read_text())
        size = sum(file.stat().st_size for file in target.iterdir())
        print(f"{name}: seed {seed}, choices decided by {gap:.1e}, float32 is off float64 by {error:.1e}, log-probabilities from "
              f"{values[0].min().item():.2f} to {values[0].max().item():.2f}, {size // 1024} KiB", flush=True)


main()
