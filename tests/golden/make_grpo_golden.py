"""Golden losses, gradients and advantages of GRPO by TRL's own trainer.

usage: python make_grpo_golden.py     writes grpo_loss.json beside this script
Needs: torch transformers trl datasets accelerate. Made with torch 2.15.0 (CPU), transformers 5.23.0, trl 1.16.0.

A real `GRPOTrainer` over a tiny random model is built once. For the losses, its `_compute_loss` runs unchanged; only
`_get_per_token_logps_and_entropies` is replaced, by one that returns the case's log-probabilities. For the advantages, its
`_generate_and_score_completions` runs unchanged; only `_calculate_rewards` is replaced, by one that returns the case's
rewards. Everything is in float64.

cases[]: rows are ragged, one per completion. `mask` 0 leaves a token out; a row of zeros is a truncated completion.
`advantages` has one value a row, `ref_logprobs` is null where beta is 0, `epsilon` and `epsilon_high` bound the ratio to
[1 - epsilon, 1 + epsilon_high]. The KL term is beta * k3, k3 = exp(ref - new) - (ref - new) - 1; with `kl_times_ratio` (TRL's
`use_bias_correction_kl`, on by default in this version) it is beta * ratio * k3, and the ratio carries a gradient.
`loss` is what TRL minimises, `grad` is d loss / d logprobs, `clip_fraction` and `kl` are the means over unmasked tokens that
TRL logs. The normalisers, in TRL's words:
  grpo     mean over a row's tokens, then mean over ALL rows: a fully masked row adds 0 but still counts
  bnpo     sum over tokens / number of unmasked tokens of this micro-batch
  dr_grpo  sum over tokens / (number of rows * max_completion_length)
  dapo     sum over tokens / num_items, the number of unmasked tokens of the whole batch that was generated at once
`num_items` is given for dapo only. It is larger than the mask's sum where the case is one micro-batch of a larger batch.

advantage_cases[]: `rewards` in groups of `group_size`; null is a reward that could not be had. TRL leaves it out of the
group's mean and deviation and gives it the advantage 0. With `scale_std`: (reward - mean) / (deviation + 1e-4), the deviation
with Bessel's correction; without: reward - mean.
"""
import json
import math
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

HERE = Path(__file__).parent


def make_trainer():
    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefgh"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=1))
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=4, num_generations=4,
        gradient_accumulation_steps=1, max_completion_length=4, disable_tqdm=True, logging_strategy="no", save_strategy="no")
    trainer = GRPOTrainer(model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=config,
                          train_dataset=Dataset.from_list([{"prompt": "a b"}] * 4), processing_class=tokenizer)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def pad(rows, value=0.0, dtype=torch.float64):
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows], dtype=dtype)


def ragged(tensor, rows):
    return [values[: len(row)] for values, row in zip(tensor.tolist(), rows)]


def loss_case(trainer, case):
    logps = pad(case["logprobs"]).requires_grad_()
    mask = pad(case["mask"], 0, torch.long)
    inputs = {
        "prompt_ids": torch.ones(len(logps), 1, dtype=torch.long), "prompt_mask": torch.ones(len(logps), 1, dtype=torch.long),
        "completion_ids": torch.ones_like(mask), "completion_mask": mask,
        "advantages": torch.tensor(case["advantages"], dtype=torch.float64),
        "old_per_token_logps": pad(case["old_logprobs"]),
        "num_items_in_batch": torch.tensor(case.get("num_items", int(mask.sum()))),
    }
    if case["ref_logprobs"] is not None:
        inputs["ref_per_token_logps"] = pad(case["ref_logprobs"])
    trainer.loss_type, trainer.beta = case["loss_type"], case["beta"]
    trainer.epsilon_low, trainer.epsilon_high = case["epsilon"], case["epsilon_high"]
    trainer.args.use_bias_correction_kl = case["kl_times_ratio"]
    trainer.max_completion_length = case["max_completion_length"]
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, torch.zeros_like(logps), None)
    trainer._metrics["train"].clear()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    metrics = {key: values[0] for key, values in trainer._metrics["train"].items()}
    case["loss"] = loss.item()
    case["grad"] = ragged(logps.grad, case["logprobs"])
    case["clip_fraction"] = metrics["clip_ratio/region_mean"]
    if case["beta"]:
        case["kl"] = metrics["kl"]
    return case


# Four completions. Ratios reach from far below the range to far above it, under advantages of both signs, and none lies
# within 0.01 of a bound, so that rounding cannot move a token across it.
LOGPROBS = [
    [-0.31, -1.72, -0.05, -2.4, -0.9],
    [-1.1, -0.44, -3.05],
    [-0.62, -0.08, -1.95, -0.77, -0.29, -4.1, -0.003],
    [-2.2, -0.51],
]
# What the ratio's logarithm is: outside [log 0.8, log 1.28] = [-0.223, 0.247] it is clipped, depending on the sign.
LOG_RATIOS = [
    [0.0, 0.4, -0.5, 0.12, -0.1],
    [0.3, -0.3, 0.05],
    [-0.6, 0.35, 0.01, -0.15, 0.2, -0.9, 0.7],
    [0.21, -0.18],
]
LOG_REF = [
    [0.05, -0.3, 0.2, 0.6, -0.01],
    [-0.7, 0.11, 0.9],
    [0.0, 0.02, -0.4, 0.33, -0.08, 1.2, -0.002],
    [0.25, -0.45],
]
ADVANTAGES = [1.25, -0.8, -1.4, 0.6]


def plus(left, right, sign=1):
    return [[round(a + sign * b, 6) for a, b in zip(x, y)] for x, y in zip(left, right)]


def cases():
    ones = [[1] * len(row) for row in LOGPROBS]
    truncated = [ones[0], [0] * 3, ones[2], ones[3]]
    holes = [[1, 0, 1, 1, 0], ones[1], [1, 1, 0, 0, 1, 1, 1], [0, 1]]
    base = {"epsilon": 0.2, "epsilon_high": 0.28, "beta": 0.0, "max_completion_length": 8, "advantages": ADVANTAGES,
            "kl_times_ratio": False, "old_logprobs": plus(LOGPROBS, LOG_RATIOS, -1)}
    variants = [
        ("on_policy", {"mask": ones, "old_logprobs": LOGPROBS}),
        ("off_policy", {"mask": ones}),
        ("symmetric_clip", {"mask": ones, "epsilon_high": 0.2}),
        ("kl", {"mask": ones, "beta": 0.04}),
        ("on_policy_kl", {"mask": ones, "old_logprobs": LOGPROBS, "beta": 0.04}),
        ("kl_times_ratio", {"mask": ones, "beta": 0.04, "kl_times_ratio": True}),
        ("on_policy_kl_times_ratio", {"mask": ones, "old_logprobs": LOGPROBS, "beta": 0.04, "kl_times_ratio": True}),
        ("flipped_signs", {"mask": ones, "advantages": [-value for value in ADVANTAGES]}),
        ("truncated_row", {"mask": truncated}),
        ("truncated_row_kl", {"mask": truncated, "beta": 0.04}),
        ("holes_kl", {"mask": holes, "beta": 0.04}),
        ("zero_advantages_kl", {"mask": ones, "advantages": [0.0] * 4, "beta": 0.04}),
        ("nothing_left", {"mask": [[0] * len(row) for row in LOGPROBS], "beta": 0.04}),
    ]
    for loss_type in ["grpo", "bnpo", "dr_grpo", "dapo"]:
        for name, changes in variants + ([("micro_batch_of_40_tokens_kl", {"mask": ones, "beta": 0.04, "num_items": 40})]
                                         if loss_type == "dapo" else []):
            case = {**base, **changes}
            if loss_type == "dapo":
                case.setdefault("num_items", sum(map(sum, case["mask"])))
            yield {
                "name": f"{loss_type}/{name}", "loss_type": loss_type, "beta": case["beta"],
                "kl_times_ratio": case["kl_times_ratio"], "epsilon": case["epsilon"], "epsilon_high": case["epsilon_high"], "logprobs": LOGPROBS, "old_logprobs": case["old_logprobs"],
                "ref_logprobs": plus(LOGPROBS, LOG_REF) if case["beta"] else None, "mask": case["mask"],
                "advantages": case["advantages"], "max_completion_length": case["max_completion_length"],
                **({"num_items": case["num_items"]} if loss_type == "dapo" else {}),
            }


REWARDS = [
    ([1.0, 0.0, 0.0, 1.0], 4),
    ([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 4),
    ([1.1, 0.1, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0, 0.35, -0.5, 2.0, 0.7], 4),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 8),
    ([0.3, 0.7, 1.0, 0.25, -1.0, -1.0], 2),
    ([5.0, 5.0001, 4.9999], 3),
    ([1.0, None, 0.0, 0.0, None, None, 1.0, 0.0, None, None, None, 1.0, None, None, None, None], 4),
]


def advantage_case(trainer, rewards, group_size, scale_std):
    values = torch.tensor([[math.nan if reward is None else reward] for reward in rewards], dtype=torch.float64)
    trainer.num_generations = group_size
    trainer.scale_rewards = "group" if scale_std else "none"
    trainer.beta = 0.0
    trainer._calculate_rewards = lambda *_, **__: values
    with torch.no_grad():
        out = trainer._generate_and_score_completions([{"prompt": "a b"} for _ in rewards])
    return {"rewards": rewards, "group_size": group_size, "scale_std": scale_std, "advantages": out["advantages"].tolist()}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


def main():
    torch.manual_seed(0)
    trainer = make_trainer()
    advantages = [advantage_case(trainer, *row, scale) for row in REWARDS for scale in (True, False)]
    losses = [loss_case(trainer, case) for case in cases()]
    for case in losses:
        print(f"{case['name']:40} {case['loss']:12.8f} clipped {case['clip_fraction']:.3f} kl {case.get('kl', 0):.5f}", file=sys.stderr)
    with open(HERE / "grpo_loss.json", "w") as out:
        out.write('{"trl_version": %s, "torch_version": %s,\n"cases": [\n' % (json.dumps(version("trl")), json.dumps(version("torch"))))
        out.write(",\n".join(json.dumps(rounded(case)) for case in losses))
        out.write('\n],\n"advantage_cases": [\n')
        out.write(",\n".join(json.dumps(rounded(case)) for case in advantages))
        out.write("\n]}\n")
    json.loads((HERE / "grpo_loss.json").read_text())


main()
