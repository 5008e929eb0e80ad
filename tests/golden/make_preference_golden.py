"""Golden losses and gradients of DPO's family, by TRL's own code, in float64.

usage: python make_preference_golden.py     writes preference.json beside this script
Needs: torch transformers trl==1.16.0 datasets accelerate. Made with torch 2.15.0 (CPU), trl 1.16.0.

What runs unchanged: `_compute_loss` of DPOTrainer and KTOTrainer, `cpo_loss` of CPOTrainer, `odds_ratio_loss` of ORPOTrainer. Replaced is
the model, whose place an object takes that returns fixed log-probabilities.

batches: `chosen` and `rejected` are log-probabilities of the policy, a list a side, one entry a token; `ref_chosen` and `ref_rejected` those
of the reference. All are float32s.
pair_cases[]: TRL's names of the options, the loss, and its derivative by each log-probability of both sides.
kto_cases[]: `label` and `kl` (mean log-ratio of mismatched answers, before it is kept from falling below 0) with the same.
"""
import json
import os
import types
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
import torch

torch.set_default_dtype(torch.float64)
from collections import defaultdict

from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

DPO = ["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down",
       "discopop", "aot"]


def fixed(seed, rows, scale):
    """Ragged log-probabilities: sides of different and of equal lengths, one of one token."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [[5, 3], [1, 7], [4, 4], [6, 2], [2, 9]][:rows]
    def side(length, around=None):
        drawn = torch.rand(length, generator=generator)
        values = -scale * drawn if around is None else around + 0.6 * (drawn - 0.5)
        return torch.clamp(values, max=-1e-3).float().double()
    batch = {"chosen": [side(a) for a, _ in lengths], "rejected": [side(b) for _, b in lengths]}
    batch["ref_chosen"] = [side(len(x), x) for x in batch["chosen"]]
    batch["ref_rejected"] = [side(len(x), x) for x in batch["rejected"]]
    return batch


BATCHES = {"five": fixed(1, 5, 2.0), "far": fixed(2, 4, 9.0), "two": fixed(3, 2, 0.7)}


class Accelerator:
    device = torch.device("cpu")
    def gather(self, value): return value
    def gather_for_metrics(self, value): return value


def padded(rows):
    """[rows, 1 + longest - 1] log-probabilities behind a prompt of two tokens, and the mask of the completion."""
    width = max(map(len, rows)) + 2
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for row, values in enumerate(rows):
        mask[row, 2:2 + len(values)] = 1
    scores = torch.stack([torch.nn.functional.pad(v, (1, width - 2 - len(v))) for v in rows])
    return scores, mask


def trainer(**settings):
    made = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True), accelerator=Accelerator(), aux_loss_enabled=False, precompute_ref_logps=True,
        ld_alpha=None, f_divergence_type="reverse_kl", beta=0.1, label_smoothing=0.0, use_weighting=False, loss_weights=[1.0],
        args=types.SimpleNamespace(discopop_tau=0.05), _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
        desirable_weight=1.0, undesirable_weight=1.0, calculate_KL=True, loss_type="kto")
    for key, value in settings.items():
        setattr(made, key, value)
    return made


def outputs(scores):
    zeros = torch.zeros_like(scores)
    return types.SimpleNamespace(log_probs=scores, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def weighted(rows, other, alpha):
    alpha = 1.0 if alpha is None else alpha
    return torch.stack([x[:min(len(x), len(y))].sum() + alpha * x[min(len(x), len(y)):].sum() for x, y in zip(rows, other)])


def leaves(batch):
    return {key: [row.clone().requires_grad_() for row in batch[key]] for key in ("chosen", "rejected")}


def case(name, loss, leaf, **options):
    loss.backward()
    zero = lambda row: torch.zeros_like(row) if row.grad is None else row.grad
    return {"batch": name, **options, "loss": loss.item(),
            "by_chosen": [zero(row).tolist() for row in leaf["chosen"]], "by_rejected": [zero(row).tolist() for row in leaf["rejected"]]}


def dpo(name, losses, weights=(1.0,), **settings):
    batch, leaf = BATCHES[name], leaves(BATCHES[name])
    scores, mask = padded(leaf["chosen"] + leaf["rejected"])
    alpha = settings.get("ld_alpha")
    inputs = {
        "input_ids": torch.ones_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": weighted(batch["ref_chosen"], batch["ref_rejected"], alpha),
        "ref_rejected_logps": weighted(batch["ref_rejected"], batch["ref_chosen"], alpha),
    }
    tau = settings.pop("discopop_tau", 0.05)
    made = trainer(loss_types=list(losses), loss_weights=list(weights), args=types.SimpleNamespace(discopop_tau=tau), **settings)
    made.model = Model(scores)
    loss = DPOTrainer._compute_loss(made, made.model, inputs, False)
    options = dict(settings)
    if len(losses) > 1:
        options["sft_weight"] = weights[1]
    if losses[0] == "discopop":
        options["discopop_tau"] = tau
    return case(name, loss, leaf, loss_type=losses[0], source="trl 1.16.0 DPOTrainer._compute_loss", **options)


class Model:
    """Returns fixed log-probabilities whatever it is asked."""
    training = True
    def __init__(self, scores): self.scores = scores
    def __call__(self, **_): return outputs(self.scores)


def cpo(name, loss_type, ours, **settings):
    leaf = leaves(BATCHES[name])
    mean = loss_type == "simpo"
    sums = {key: torch.stack([row.mean() if mean else row.sum() for row in leaf[key]]) for key in leaf}
    made = trainer(loss_type=loss_type, alpha=0.0, simpo_gamma=settings.get("simpo_gamma", 0.5),
                   **{key: value for key, value in settings.items() if key != "simpo_gamma"})
    losses, _, _ = CPOTrainer.cpo_loss(made, sums["chosen"], sums["rejected"])
    return case(name, losses.mean(), leaf, loss_type=ours, source="trl 1.16.0 CPOTrainer.cpo_loss", sft_weight=0.0, **settings)


def orpo(name, **settings):
    leaf = leaves(BATCHES[name])
    means = {key: torch.stack([row.mean() for row in leaf[key]]) for key in leaf}
    made = trainer(**settings)
    # It calls `.float()` on what it is given: kept from losing the digits that are compared.
    float_, torch.Tensor.float = torch.Tensor.float, lambda self: self.double()
    try:
        losses = ORPOTrainer.odds_ratio_loss(made, means["chosen"], means["rejected"])[0]
    finally:
        torch.Tensor.float = float_
    return case(name, -losses.mean(), leaf, loss_type="orpo", source="trl 1.16.0 ORPOTrainer.odds_ratio_loss", sft_weight=0.0, **settings)


def kto(name, kl, labels, **settings):
    batch, leaf = BATCHES[name], leaves(BATCHES[name])
    scores, mask = padded(leaf["chosen"])
    rows = len(labels)
    inputs = {
        "input_ids": torch.ones_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "label": torch.tensor(labels), "ref_logps": torch.stack([row.sum() for row in batch["ref_chosen"]]),
        "ref_KL_logps": torch.zeros(rows),
    }
    made = trainer(**settings)
    made.model = Model(scores)
    made._compute_kl_logps = lambda *_: torch.full((rows,), kl)
    loss = KTOTrainer._compute_loss(made, made.model, inputs, False)
    found = case(name, loss, leaf, source="trl 1.16.0 KTOTrainer._compute_loss", label=labels, kl=kl, **settings)
    del found["by_rejected"]
    return found


def pair_cases():
    smoothed = {"robust": 0.2, "exo_pair": 1e-3}
    for name in BATCHES:
        for loss in DPO:
            for beta in (0.1, 0.7):
                yield dpo(name, [loss], beta=beta, label_smoothing=smoothed.get(loss, 0.0))
            yield dpo(name, [loss], beta=0.3, ld_alpha=0.4, label_smoothing=smoothed.get(loss, 0.0))
        for loss in ("aot", "exo_pair", "robust"):
            yield dpo(name, [loss], beta=0.3, label_smoothing=0.1)
        yield dpo(name, ["discopop"], beta=0.3, discopop_tau=0.5)
        for loss in ("sigmoid", "ipo", "apo_zero"):
            yield dpo(name, [loss, "sft"], weights=[1.0, 0.8], beta=0.3)
        for beta in (0.1, 2.0):
            yield cpo(name, "sigmoid", "cpo", beta=beta)
            yield cpo(name, "sigmoid", "cpo", beta=beta, label_smoothing=0.1)
            yield cpo(name, "simpo", "simpo", beta=beta, simpo_gamma=0.5)
            yield cpo(name, "simpo", "simpo", beta=beta, simpo_gamma=1.4, label_smoothing=0.1)
            yield orpo(name, beta=beta)


def kto_cases():
    labels = {"five": [True, False, True, True, False], "far": [True, False, False, True], "two": [False, True]}
    for name in BATCHES:
        for kl in (0.7, -0.4):
            yield kto(name, kl, labels[name], beta=0.1)
            yield kto(name, kl, labels[name], beta=0.5, desirable_weight=1.3, undesirable_weight=0.7)
    yield kto("two", 0.2, [True, True], beta=0.3)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}") + 0.0
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


def main():
    from importlib.metadata import version
    batches = {name: {key: [row.tolist() for row in rows] for key, rows in batch.items()} for name, batch in BATCHES.items()}
    lines = lambda cases: ",\n".join(json.dumps(rounded(case)) for case in cases)
    versions = {name: version(name) for name in ("trl", "torch", "transformers")}
    with open(Path(__file__).parent / "preference.json", "w") as out:
        out.write('{"versions": %s,\n"batches": %s,\n' % (json.dumps(versions), json.dumps(batches)))
        out.write('"pair_cases": [\n%s\n],\n"kto_cases": [\n%s\n]}\n' % (lines(pair_cases()), lines(kto_cases())))


main()
