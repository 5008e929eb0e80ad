"""Tiny random models of families whose attention, norms, positions or scales differ from Llama's, with golden log-probabilities
by transformers, as Hugging Face directories and as GGUF files.

usage: python make_tiny_families.py [name ...]     writes families/<name>/ beside this script
Needs: torch transformers gguf. Made with torch 2.15.0 (CPU), transformers 5.24.0, gguf 0.19.

families/<name>/ holds config.json and model.safetensors in float16 (norms and biases random too), model.gguf of the same
values with the names, row orders and keys of llama.cpp's converters where there is an architecture for it, and logprobs.json:
`input_ids` of one sequence that is longer than every window and every original context, `chosen` the log-probability of each
token but the first, and `rows` the log-softmax at `positions`, computed in float32 from the stored values.

The first number printed is how far float32 is from float64 in transformers itself.
"""
import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as T
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent / "families"
VOCABULARY, LENGTH = 48, 90
POSITIONS = [0, 1, 6, 7, 8, 9, 31, 47, 63, 64, 65, 88]
COMMON = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4,
              max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GROUPED = {**COMMON, "num_key_value_heads": 2}
LATENT = {**COMMON, "num_key_value_heads": 4, "kv_lora_rank": 14, "qk_nope_head_dim": 6, "qk_rope_head_dim": 8, "v_head_dim": 5}
# transformers builds experts for layers from first_k_dense_replace on: here there are none.
DENSE = dict(first_k_dense_replace=3, n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=8)


def rope(theta=10000.0, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


def yarn(**more):
    return dict(rope_type="yarn", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=64, **more)


def longrope(pairs, original, **more):
    return dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=original,
                short_factor=[1.0 + 0.13 * i for i in range(pairs)], long_factor=[1.0 + 0.9 * i for i in range(pairs)], **more)


SLIDING, FULL = "sliding_attention", "full_attention"
MODELS = {
    "gemma3": lambda: T.Gemma3ForCausalLM(T.Gemma3TextConfig(
        **{**GROUPED, "num_key_value_heads": 1}, head_dim=10, query_pre_attn_scalar=10, sliding_window=8,
        layer_types=[SLIDING, SLIDING, FULL], tie_word_embeddings=True,
        rope_parameters={FULL: dict(rope_type="linear", factor=8.0, rope_theta=1e6), SLIDING: rope()})),
    "olmo2": lambda: T.Olmo2ForCausalLM(T.Olmo2Config(**GROUPED, rope_parameters=rope(5e5))),
    "olmo3": lambda: T.Olmo3ForCausalLM(T.Olmo3Config(
        **GROUPED, sliding_window=8, layer_types=[SLIDING, FULL, SLIDING],
        rope_parameters={FULL: {**yarn(beta_fast=32.0, beta_slow=1.0), "rope_theta": 5e5}, SLIDING: rope(5e5)})),
    "smollm3": lambda: T.SmolLM3ForCausalLM(T.SmolLM3Config(
        **{**GROUPED, "num_hidden_layers": 4}, no_rope_layers=[1, 1, 1, 0], tie_word_embeddings=True, rope_parameters=rope(2e6))),
    "smollm3_windows": lambda: T.SmolLM3ForCausalLM(T.SmolLM3Config(
        **GROUPED, no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=9, attention_bias=True,
        tie_word_embeddings=True, rope_parameters=rope(2e6))),
    "granite": lambda: T.GraniteForCausalLM(T.GraniteConfig(
        **GROUPED, embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.0625,
        tie_word_embeddings=True, rope_parameters=rope())),
    "phi3": lambda: T.Phi3ForCausalLM(T.Phi3Config(
        **{**GROUPED, "hidden_size": 32}, sliding_window=11, rope_parameters=rope(partial_rotary_factor=0.75))),
    "phi3_longrope": lambda: T.Phi3ForCausalLM(T.Phi3Config(
        **{**GROUPED, "hidden_size": 32}, original_max_position_embeddings=128,
        rope_parameters=longrope(4, 128, partial_rotary_factor=1.0))),
    "mistral": lambda: T.MistralForCausalLM(T.MistralConfig(**GROUPED, sliding_window=8, rope_parameters=rope())),
    "qwen3_yarn": lambda: T.Qwen3ForCausalLM(T.Qwen3Config(
        **GROUPED, head_dim=16, tie_word_embeddings=True, rope_parameters=yarn())),
    "minicpm3": lambda: T.MiniCPM3ForCausalLM(T.MiniCPM3Config(
        **LATENT, q_lora_rank=9, scale_emb=12, scale_depth=1.4, dim_model_base=8, tie_word_embeddings=True,
        rope_parameters=longrope(4, 128))),
    # transformers sets the row of a padding token to 0 when it reads a Youtu, in a tied head too: there is none here.
    "youtu": lambda: T.YoutuForCausalLM(T.YoutuConfig(
        **{**LATENT, "pad_token_id": None}, q_lora_rank=9, tie_word_embeddings=True, rope_parameters=yarn(mscale=1.0, mscale_all_dim=1.0))),
    "youtu_halves": lambda: T.YoutuForCausalLM(T.YoutuConfig(
        **LATENT, q_lora_rank=9, rope_interleave=False, attention_bias=True, tie_word_embeddings=False, rope_parameters=rope())),
    "deepseek_v2": lambda: T.DeepseekV2ForCausalLM(T.DeepseekV2Config(
        **LATENT, **DENSE, q_lora_rank=None, rope_parameters=yarn(mscale=0.707, mscale_all_dim=0.707))),
    "deepseek_v3": lambda: T.DeepseekV3ForCausalLM(T.DeepseekV3Config(
        **LATENT, **DENSE, q_lora_rank=9, num_mtp_layers=0, rope_parameters=yarn(mscale=0.8, mscale_all_dim=1.0))),
}
# The architecture of each GGUF file.
GGUF = {"gemma3": "gemma3", "olmo2": "olmo2", "olmo3": "olmo2", "smollm3": "smollm3", "granite": "granite", "phi3": "phi3",
        "phi3_longrope": "phi3", "qwen3_yarn": "qwen3", "youtu": "deepseek2", "deepseek_v2": "deepseek2"}


@torch.no_grad()
def randomise(model, around):
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.copy_(around + 0.3 * torch.randn_like(weight))
        elif name.endswith("bias"):
            weight.copy_(0.5 * torch.randn_like(weight))
        elif "embed" in name or "lm_head" in name:
            weight.copy_(0.4 * torch.randn_like(weight))
        else:
            weight.copy_(0.25 * torch.randn_like(weight))


def permuted(weight, heads):
    """The row order of llama.cpp's converter for architectures that rotate neighbours."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
}


def gguf_tensors(arch, config, tensors):
    behind = arch in ("gemma3", "olmo2")
    for name, value in tensors.items():
        value = value.float().numpy()
        if arch == "gemma3" and name.endswith("norm.weight"):
            value = value + np.float32(1)
        if name == "model.embed_tokens.weight":
            yield "token_embd.weight", value
        elif name == "model.norm.weight":
            yield "output_norm.weight", value
        elif name == "lm_head.weight":
            yield "output.weight", value
        else:
            _, _, layer, rest = name.split(".", 3)
            module, parameter = rest.rsplit(".", 1)
            if arch in ("granite", "smollm3") and module in ("self_attn.q_proj", "self_attn.k_proj"):
                heads = config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads
                value = permuted(value, heads)
            if module == "self_attn.kv_b_proj":
                heads, plain = config.num_attention_heads, config.qk_nope_head_dim
                whole = value.reshape(heads, plain + config.v_head_dim, config.kv_lora_rank)
                yield f"blk.{layer}.attn_k_b.weight", np.ascontiguousarray(whole[:, :plain].transpose(0, 2, 1))
                yield f"blk.{layer}.attn_v_b.weight", np.ascontiguousarray(whole[:, plain:])
                continue
            if module == "post_attention_layernorm":
                mapped = "post_attention_norm" if behind else "ffn_norm"
            else:
                mapped = LAYER[module]
            yield f"blk.{layer}.{mapped}.{parameter}", value


def write_gguf(path, arch, config, tensors):
    w = gguf.GGUFWriter(path, arch)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_vocab_size(config.vocab_size)
    if arch == "deepseek2":
        w.add_head_count_kv(1)
        if config.q_lora_rank:
            w.add_q_lora_rank(config.q_lora_rank)
        w.add_kv_lora_rank(config.kv_lora_rank)
        w.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        w.add_value_length(config.kv_lora_rank)
        w.add_key_length_mla(config.qk_nope_head_dim + config.qk_rope_head_dim)
        w.add_value_length_mla(config.v_head_dim)
        w.add_rope_dimension_count(config.qk_rope_head_dim)
        w.add_leading_dense_block_count(config.num_hidden_layers)
    else:
        w.add_head_count_kv(config.num_key_value_heads)
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        w.add_key_length(head)
        w.add_value_length(head)
    parameters = config.rope_parameters
    full = parameters.get(FULL, parameters)
    w.add_rope_freq_base(full["rope_theta"])
    if full["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(full["factor"])
    if full["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(full["factor"])
        w.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        if full.get("mscale_all_dim") is not None:
            w.add_rope_scaling_yarn_log_mul(0.1 * full["mscale_all_dim"])
    if arch == "gemma3":
        w.add_sliding_window(config.sliding_window)
        w.add_sliding_window_pattern([kind == SLIDING for kind in config.layer_types])
    if arch == "olmo2" and hasattr(config, "layer_types"):
        w.add_sliding_window(config.sliding_window)
        w.add_sliding_window_pattern([kind == SLIDING for kind in config.layer_types])
    if arch == "granite":
        w.add_attention_scale(config.attention_multiplier)
        w.add_embedding_scale(config.embedding_multiplier)
        w.add_residual_scale(config.residual_multiplier)
        w.add_logit_scale(config.logits_scaling)
    if arch == "phi3":
        rotated = int(parameters.get("partial_rotary_factor", 1.0) * config.hidden_size) // config.num_attention_heads
        w.add_rope_dimension_count(rotated)
        w.add_sliding_window(config.sliding_window or 0)
        w.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        if full["rope_type"] == "longrope":
            original = config.original_max_position_embeddings
            scale = config.max_position_embeddings / original
            w.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
            for kind in ("long", "short"):
                w.add_tensor(f"rope_factors_{kind}.weight", np.array(full[f"{kind}_factor"], dtype=np.float32))
    for name, value in gguf_tensors(arch, config, tensors):
        half = value.ndim >= 2
        w.add_tensor(name, value.astype(np.float16) if half else value.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def logprobs(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)


def main():
    wanted = sys.argv[1:] or list(MODELS)
    for seed, (name, build) in enumerate(MODELS.items()):
        if name not in wanted:
            continue
        torch.manual_seed(seed)
        target = HERE / name
        shutil.rmtree(target, ignore_errors=True)
        model = build()
        randomise(model, 0.0 if name == "gemma3" else 1.0)
        model.to(torch.float16).save_pretrained(target)
        for extra in ("generation_config.json",):
            (target / extra).unlink(missing_ok=True)
        for file in target.iterdir():
            file.chmod(0o644)
        ids = torch.randint(3, VOCABULARY, (LENGTH,)).tolist()
        single = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32, attn_implementation="eager").eval()
        values = logprobs(single, ids)
        double = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float64, attn_implementation="eager").eval()
        error = (values - logprobs(double, ids)).abs().max().item()
        if name in GGUF:
            tensors = {k: v for k, v in model.state_dict().items()
                       if not (k == "lm_head.weight" and model.config.tie_word_embeddings)}
            write_gguf(target / "model.gguf", GGUF[name], model.config, tensors)
        line = lambda row: "[" + ",".join(f"{x:.7g}" for x in row) + "]"
        chosen = [values[i, ids[i + 1]].item() for i in range(LENGTH - 1)]
        rows = ",\n".join(line(values[i].tolist()) for i in POSITIONS)
        (target / "logprobs.json").write_text(
            f'{{"transformers_version": "{T.__version__}", "input_ids": {json.dumps(ids)},\n"chosen": {line(chosen)},\n'
            f'"positions": {POSITIONS},\n"rows": [\n{rows}\n]}}\n')
        json.loads((target / "logprobs.json").read_text())
        size = sum(file.stat().st_size for file in target.iterdir())
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, log-probabilities from {values.min().item():.2f} "
              f"to {values.max().item():.2f}, float32 is off float64 by {error:.1e}, {size // 1024} KiB")


main()
