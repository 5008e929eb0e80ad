"""Cases computed by TRL's trainers. What they do runs unchanged: `_compute_loss` of GRPOTrainer, RLOOTrainer, GMPOTrainer and of
the GSPO-token trainer, and `_generate_and_score_completions`, which makes advantages and the weights of the off-policy correction.
Replaced are only the parts that would ask a model: `_get_per_token_logps_and_entropies`, `_generate`, `_calculate_rewards`."""
import importlib.util
import math
import os
import sys
import tempfile

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.experimental.gmpo import GMPOTrainer

from .batches import exact, ragged

TRAINER = "trl 1.16.0 GRPOTrainer._compute_loss"
CLIPS = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo"]
LONGEST = 8
DEFAULTS = {
    "loss_type": "grpo", "level": "token", "epsilon": 0.2, "epsilon_high": 0.28, "delta": None, "beta": 0.0, "kl_times_ratio": False,
    "tau_positive": 1.0, "tau_negative": 1.05, "entropy_coef": 0.0, "top_entropy_quantile": 1.0, "num_items": None,
    "correction": None,
}


def make(trainer, config, rows=8, group=4):
    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefgh"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=1))
    args = config(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=rows, num_generations=group,
        gradient_accumulation_steps=1, max_completion_length=LONGEST, disable_tqdm=True, logging_strategy="no", save_strategy="no",
        beta=0.0)
    made = trainer(model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=args,
                   train_dataset=Dataset.from_list([{"prompt": "a b"}] * rows), processing_class=tokenizer)
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    return made


def gspo_token_trainer():
    """The trainer of GSPO-token, which TRL dropped after 1.9: the file out of that wheel, on top of the installed TRL."""
    path = os.path.join(os.environ["TRL_1_9_2"], "trl/experimental/gspo_token/grpo_trainer.py")
    spec = importlib.util.spec_from_file_location("trl.experimental.gspo_token.grpo_trainer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GRPOTrainer


class Leaf:
    """What the loss is differentiated by: log-probabilities, or the logits that they come from."""

    def __init__(self, batch):
        self.batch = batch
        if "logits" in batch:
            width = max(map(len, batch["logits"]))
            rows = [torch.stack([exact([token])[0] for token in row]) for row in batch["logits"]]
            self.logits = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, width - len(row))) for row in rows]).requires_grad_()
            distribution = self.logits.log_softmax(-1)
            chosen = torch.tensor([row + [0] * (width - len(row)) for row in batch["tokens"]])
            self.logprobs = distribution.gather(-1, chosen[..., None]).squeeze(-1)
            self.entropy = -(distribution.exp() * distribution).sum(-1)
            self.logprobs.retain_grad()
            self.entropy.retain_grad()
        else:
            self.logits = None
            self.logprobs = exact(batch["logprobs"]).requires_grad_()
            self.entropy = torch.zeros_like(self.logprobs)

    def derivatives(self, loss):
        loss.backward()
        rows = self.batch["mask"]
        out = {"loss": loss.item(), "by_logprobs": ragged(self.logprobs.grad, rows)}
        if self.logits is not None:
            by_entropy = self.entropy.grad if self.entropy.grad is not None else torch.zeros_like(self.entropy)
            out |= {"by_entropy": ragged(by_entropy, rows), "by_logits": ragged(self.logits.grad, rows)}
        return out


def loss_case(trainer, name, batch_name, batch, compute=GRPOTrainer._compute_loss, source=TRAINER, **options):
    options = {**DEFAULTS, **options}
    assert len(options) == len(DEFAULTS), options
    leaf = Leaf(batch)
    mask = exact(batch["mask"]).long()
    items = int(mask.sum()) if options["num_items"] is None else options["num_items"]
    inputs = {
        "prompt_ids": torch.ones(len(mask), 1, dtype=torch.long), "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": torch.ones_like(mask), "completion_mask": mask, "advantages": exact([batch["advantages"]])[0],
        "old_per_token_logps": exact(batch["old"]), "ref_per_token_logps": exact(batch["reference"]),
        "num_items_in_batch": torch.tensor(items),
    }
    weights = None
    trainer.use_vllm = options["correction"] is not None
    if trainer.use_vllm:
        weights = correction(trainer, batch, options["correction"])
        inputs["importance_sampling_ratio"] = weights
    trainer.loss_type, trainer.importance_sampling_level, trainer.beta = options["loss_type"], options["level"], options["beta"]
    trainer.epsilon_low, trainer.epsilon_high = options["epsilon"], options["epsilon_high"]
    trainer.args.delta, trainer.args.use_bias_correction_kl = options["delta"], options["kl_times_ratio"]
    trainer.args.sapo_temperature_pos, trainer.args.sapo_temperature_neg = options["tau_positive"], options["tau_negative"]
    trainer.entropy_coef, trainer._entropy_bonus_enabled = options["entropy_coef"], options["entropy_coef"] != 0.0
    trainer.top_entropy_quantile = options["top_entropy_quantile"]
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (leaf.logprobs, leaf.entropy, None)
    trainer._metrics["train"].clear()
    loss = compute(trainer, trainer.model, inputs)
    logged = {key: values[0] for key, values in trainer._metrics["train"].items()}
    case = {"name": name, "source": source, "batch": batch_name,
            **{key: value for key, value in options.items() if value != DEFAULTS[key] or key in ("loss_type", "level")}}
    for key in ("epsilon", "epsilon_high"):
        case[key] = options[key]
    if options["loss_type"] in ("dapo", "cispo"):
        case["num_items"] = items
    if options["loss_type"] == "dr_grpo":
        case["longest"] = LONGEST
    if options["top_entropy_quantile"] < 1.0:
        kept = trainer.get_high_entropy_mask(leaf.entropy.detach(), mask, 1 - options["top_entropy_quantile"])
        case["kept"] = ragged(kept.long(), batch["mask"])
        check_threshold(leaf.entropy.detach()[mask.bool()], options["top_entropy_quantile"])
    if weights is not None:
        case["weights"] = ragged(weights.expand_as(leaf.logprobs), batch["mask"])
    case |= leaf.derivatives(loss)
    seen = {"clip_ratio/low_mean": "clipped_low", "clip_ratio/high_mean": "clipped_high", "cispo_clip_ratio": "clipped_high", "kl": "kl"}
    # Of the ratio of a whole completion TRL counts completions, not tokens.
    case |= {ours: logged[key] for key, ours in seen.items() if key in logged and (options["level"] == "token" or key == "kl")}
    return case


def check_threshold(entropies, quantile):
    threshold = torch.quantile(entropies, 1 - quantile)
    assert (entropies - threshold).abs().min() > 1e-4, "a token stands at the threshold"


def correction(trainer, batch, options):
    """The weights that TRL makes when a sampler's log-probabilities differ from the trainer's."""
    eos, other = 1, 3
    cut = [not any(row) for row in batch["mask"]]
    completions = [[other] * (len(row) - 1) + [other if out else eos] for row, out in zip(batch["mask"], cut)]
    holes = [[1] * len(row) if out else row for row, out in zip(batch["mask"], cut)]
    old = exact(batch["old"])
    sampling = [exact([row])[0].tolist() for row in batch["sampling"]]
    rows = len(completions)
    trainer.vllm_importance_sampling_correction, trainer.mask_truncated_completions = True, True
    trainer.vllm_importance_sampling_mode = options["mode"]
    trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = options["low"], options["high"]
    trainer.beta = 0.0
    trainer._generate = lambda prompts: ([[4, 5]] * rows, completions, holes, ["a"] * rows, sampling, {}, None, None)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (old, None, None)
    trainer._calculate_rewards = lambda *_, **__: torch.zeros(rows, 1)
    with torch.no_grad():
        out = trainer._generate_and_score_completions([{"prompt": "a b"} for _ in range(rows)])
    live = out["completion_mask"] * out["tool_mask"]
    assert torch.equal(live * (out["completion_mask"] > 0), exact(batch["mask"]).long()), live
    return out["importance_sampling_ratio"]


def loss_cases(batches):
    trainer = make(GRPOTrainer, GRPOConfig)

    def case(name, batch, **options):
        return loss_case(trainer, name, batch, batches[batch], **options)

    for level in ("token", "sequence"):
        for loss_type in CLIPS + ["cispo", "sapo"]:
            at = {"loss_type": loss_type, "level": level}
            if loss_type == "cispo":
                at["epsilon_high"] = 5.0 if level == "token" else 1.5
            for batch in ("on_policy", "off_policy", "flipped", "masked"):
                yield case(f"{loss_type}/{level}/{batch}", batch, **at)
            yield case(f"{loss_type}/{level}/kl", "masked", beta=0.04, **at)
            yield case(f"{loss_type}/{level}/no advantages, kl", "zero_advantages", beta=0.04, **at)
            if loss_type in CLIPS:
                yield case(f"{loss_type}/{level}/delta", "off_policy", delta=1.4, **at)
                yield case(f"{loss_type}/{level}/delta, flipped", "flipped", delta=1.4, **at)
            if level == "token":
                yield case(f"{loss_type}/{level}/kl times ratio", "masked", beta=0.04, kl_times_ratio=True, **at)
                yield case(f"{loss_type}/{level}/kl times ratio, on policy", "on_policy", beta=0.04, kl_times_ratio=True, **at)
            elif loss_type in ("grpo", "luspo"):
                for batch in ("near", "off_policy", "masked"):
                    yield case(f"{loss_type}/{level}/clip of GSPO, {batch}", batch, **{**at, "epsilon": 3e-4, "epsilon_high": 4e-4})
            if loss_type in ("dapo", "cispo"):
                yield case(f"{loss_type}/{level}/part of a batch of 60 tokens", "masked", beta=0.04, num_items=60, **at)
    yield case("grpo/sequence/kl times ratio of the completion", "masked", level="sequence", beta=0.04, kl_times_ratio=True)
    yield case("grpo/token/symmetric clip", "off_policy", epsilon_high=0.2)
    yield case("sapo/token/other temperatures", "off_policy", loss_type="sapo", tau_positive=0.5, tau_negative=2.0)
    yield case("cispo/token/capped at 1.28", "off_policy", loss_type="cispo", epsilon_high=1.28)
    yield from entropy_cases(case)
    yield from correction_cases(case)
    yield from other_trainers(trainer, batches)
    yield from rloo_losses(batches)


def entropy_cases(case):
    """With logits as the leaf, so that log-probabilities and entropies both have a gradient."""
    kinds = [("dapo", "token"), ("grpo", "token"), ("dr_grpo", "token"), ("cispo", "token"), ("sapo", "token"), ("luspo", "sequence"),
             ("grpo", "sequence")]
    for loss_type, level in kinds:
        at = {"loss_type": loss_type, "level": level}
        if loss_type == "cispo":
            at["epsilon_high"] = 1.4
        name = f"{loss_type}/{level}"
        yield case(f"{name}/logits", "logits", **at)
        yield case(f"{name}/entropy bonus", "logits", entropy_coef=0.02, **at)
        yield case(f"{name}/entropy bonus, kl, masked", "logits_masked", entropy_coef=0.02, beta=0.04, **at)
        yield case(f"{name}/top 0.2 by entropy", "logits", top_entropy_quantile=0.2, **at)
        yield case(f"{name}/top 0.5 by entropy, masked, kl", "logits_masked", top_entropy_quantile=0.5, beta=0.04, **at)
        yield case(f"{name}/top 0.5 by entropy, entropy bonus", "logits", top_entropy_quantile=0.5, entropy_coef=0.02, **at)


def correction_cases(case):
    kinds = [("dapo", "token"), ("grpo", "sequence"), ("cispo", "token"), ("sapo", "token")]
    for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"):
        for loss_type, level in kinds:
            at = {"loss_type": loss_type, "level": level, **({"epsilon_high": 5.0} if loss_type == "cispo" else {})}
            for batch in ("off_policy", "masked"):
                yield case(f"{loss_type}/{level}/{mode} at 3, {batch}", batch, correction={"mode": mode, "low": None, "high": 3.0}, **at)
        yield case(f"dapo/token/{mode} within 0.5 and 2", "off_policy", loss_type="dapo", beta=0.04,
                   correction={"mode": mode, "low": 0.5, "high": 2.0})


def other_trainers(trainer, batches):
    def case(name, batch, compute, source, **options):
        return loss_case(trainer, name, batch, batches[batch], compute=compute, source=source, **options)

    gmpo = (GMPOTrainer._compute_loss, "trl 1.16.0 experimental GMPOTrainer._compute_loss")
    wide = {"loss_type": "gmpo", "epsilon": 0.4, "epsilon_high": 0.4}
    for batch in ("on_policy", "off_policy", "flipped", "masked", "zero_advantages"):
        yield case(f"gmpo/{batch}", batch, *gmpo, **wide)
    yield case("gmpo/uneven clip", "off_policy", *gmpo, **{**wide, "epsilon": 0.25, "epsilon_high": 0.6})
    yield case("gmpo/kl", "masked", *gmpo, beta=0.04, **wide)
    yield case("gmpo/logits", "logits", *gmpo, **wide)
    yield case("gmpo/top 0.5 by entropy", "logits", *gmpo, top_entropy_quantile=0.5, **wide)
    token = (gspo_token_trainer()._compute_loss, "trl 1.9.2 experimental gspo_token GRPOTrainer._compute_loss")
    for loss_type in ("grpo", "dapo"):
        at = {"loss_type": loss_type, "level": "sequence_token"}
        for batch in ("on_policy", "off_policy", "flipped", "masked"):
            yield case(f"gspo_token/{loss_type}/{batch}", batch, *token, **at)
        yield case(f"gspo_token/{loss_type}/kl", "masked", *token, beta=0.04, **at)
        yield case(f"gspo_token/{loss_type}/own clip", "near", *token, **{**at, "epsilon": 3e-4, "epsilon_high": 4e-4})
        yield case(f"gspo_token/{loss_type}/delta", "off_policy", *token, delta=1.4, **at)


def rloo_losses(batches):
    trainer = make(RLOOTrainer, RLOOConfig)
    for name in ("on_policy", "off_policy", "flipped", "masked", "logits"):
        for high in (0.2, 0.28):
            batch = batches[name]
            leaf = Leaf(batch)
            mask = exact(batch["mask"]).long()
            inputs = {
                "prompt_ids": torch.ones(len(mask), 1, dtype=torch.long), "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
                "completion_ids": torch.ones_like(mask), "completion_mask": mask, "advantages": exact([batch["advantages"]])[0],
                "old_logps": (exact(batch["old"]) * mask).sum(1),
            }
            trainer.epsilon_low, trainer.epsilon_high = 0.2, high
            trainer._get_per_token_logps_and_entropies = lambda *_, **__: (leaf.logprobs, leaf.entropy, None)
            loss = trainer._compute_loss(trainer.model, inputs)
            yield {"name": f"rloo/{name}, {high}", "source": "trl 1.16.0 RLOOTrainer._compute_loss", "batch": name, "loss_type": "rloo",
                   "level": "completion", "epsilon": 0.2, "epsilon_high": high, **leaf.derivatives(loss)}


REWARDS = [
    ([1.0, 0.0, 0.0, 1.0], 4),
    ([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 4),
    ([1.1, 0.1, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0, 0.35, -0.5, 2.0, 0.7], 4),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 8),
    ([0.3, 0.7, 1.0, 0.25, -1.0, -1.0], 2),
    ([5.0, 5.0001, 4.9999], 3),
    ([1.0, None, 0.0, 0.0, None, None, 1.0, 0.0, None, None, None, 1.0, None, None, None, None], 4),
]
# Three judges, weighted; one of them does not always apply, one completion has no judge at all, one judge applies once in a group.
JUDGED = [
    ([[1.0, 0.5, 0.25], [0.0, 1.0, 0.75], [1.0, 0.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.5, 0.125], [1.0, 1.0, 0.5], [0.0, 0.0, 0.25],
      [1.0, 0.25, 1.0]], [1.0, 0.5, 2.0], 4),
    ([[1.0, None, 0.25], [0.0, 1.0, None], [1.0, None, 0.0], [0.0, 0.5, 1.0], [None, None, None], [1.0, 0.5, None], [0.0, None, None],
      [0.0, None, 0.5]], [1.0, 0.5, 0.25], 4),
    ([[1.0, 0.5], [1.0, 0.25], [1.0, 0.0], [1.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5]], [2.0, 1.0], 4),
]


def values(rows):
    return torch.tensor([[math.nan if value is None else value for value in row] for row in rows], dtype=torch.float64)


def advantage_cases(batches):
    grpo, rloo = make(GRPOTrainer, GRPOConfig), make(RLOOTrainer, RLOOConfig)
    single = [([[reward] for reward in rewards], [1.0], group) for rewards, group in REWARDS]
    for rewards, weights, group in single + JUDGED:
        for scale in ("group", "batch", "none"):
            yield scored(grpo, "sum_then_normalize", rewards, weights, group, scale_rewards=scale)
        yield scored(rloo, "leave_one_out", rewards, weights, group)
    for rewards, weights, group in JUDGED:
        yield scored(grpo, "normalize_then_sum", rewards, weights, group)
    for name in ("off_policy", "masked"):
        yield rloo_with_penalty(rloo, name, batches[name])


def scored(trainer, kind, rewards, weights, group, **options):
    trainer.num_generations, trainer.beta = group, 0.0
    trainer.reward_weights = torch.tensor(weights)
    trainer.reward_func_names = [f"judge_{index}" for index in range(len(weights))]
    trainer.multi_objective_aggregation = kind
    trainer.reward_funcs = [None] * len(weights)
    for key, value in options.items():
        setattr(trainer, key, value)
    trainer._calculate_rewards = lambda *_, **__: values(rewards)
    with torch.no_grad():
        out = trainer._generate_and_score_completions([{"prompt": "a b"} for _ in rewards])
    name = type(trainer).__name__
    return {"kind": kind, "source": f"trl 1.16.0 {name}._generate_and_score_completions", "rewards": rewards, "weights": weights,
            "group_size": group, **options, "advantages": out["advantages"].tolist()}


def rloo_with_penalty(trainer, name, batch):
    """RLOO takes the penalty off the reward: beta times the sum of log (old / reference) over the completion."""
    rows = len(batch["mask"])
    rewards = [[value] for value in (1.0, 0.0, 0.5, 0.25, 0.0, 1.0, 1.0, 0.0)]
    mask = exact(batch["mask"])
    scores = iter([exact(batch["old"]) * mask, exact(batch["reference"]) * mask])
    trainer.num_generations, trainer.beta = batch["group_size"], 0.05
    trainer.reward_weights, trainer.reward_func_names, trainer.reward_funcs = torch.tensor([1.0]), ["judge_0"], [None]
    trainer.ref_model = trainer.model
    trainer._generate = lambda prompts: ([[4, 5]] * rows, [[3] * len(row) for row in batch["mask"]], ["a"] * rows)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (next(scores), None, None)
    trainer._calculate_rewards = lambda *_, **__: values(rewards)
    with torch.no_grad():
        out = trainer._generate_and_score_completions([{"prompt": "a b"} for _ in range(rows)])
    return {"kind": "leave_one_out", "source": "trl 1.16.0 RLOOTrainer._generate_and_score_completions", "batch": name, "rewards": rewards,
            "weights": [1.0], "group_size": batch["group_size"], "beta": 0.05,
            "advantages": out["advantages"].tolist()}
