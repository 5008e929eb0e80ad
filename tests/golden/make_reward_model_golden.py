"""Losses of pairs and their derivatives by each score, computed by `RewardTrainer.compute_loss` of TRL, which runs unchanged: only
the model is replaced, by one that returns given scores. Writes reward_model.json.

    pip install torch transformers trl datasets accelerate
    python make_reward_model_golden.py
"""
import json
import pathlib
import random
from collections import defaultdict
from types import SimpleNamespace

import torch
from trl import RewardTrainer


class Model:
    def __init__(self, scores):
        self.logits = scores

    def __call__(self, **_):
        return SimpleNamespace(logits=self.logits[:, None])


def case(name, chosen, rejected, margins, center):
    scores = torch.tensor(chosen + rejected, dtype=torch.float64, requires_grad=True)
    inputs = {
        "input_ids": torch.zeros((len(scores), 1), dtype=torch.long),
        "attention_mask": torch.ones((len(scores), 1), dtype=torch.long),
    }
    if margins is not None:
        inputs["margin"] = torch.tensor(margins, dtype=torch.float64)
    gather = SimpleNamespace(gather_for_metrics=lambda value: value, gather=lambda value: value)
    trainer = SimpleNamespace(
        args=SimpleNamespace(center_rewards_coefficient=center or None),
        model=SimpleNamespace(training=True),
        accelerator=gather,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    loss = RewardTrainer.compute_loss(trainer, Model(scores), inputs)
    loss.backward()
    metrics = {key: values[-1] for key, values in trainer._metrics["train"].items()}
    return {
        "name": name, "chosen": chosen, "rejected": rejected, "margins": margins, "center": center, "loss": loss.item(),
        "by": scores.grad.tolist(), "accuracy": metrics.get("accuracy"), "margin": metrics.get("margin"),
    }


def main():
    draw = random.Random(7)
    # Scores in f32, as heads give them.
    scores = lambda count, scale: [torch.tensor(draw.gauss(0, scale)).item() for _ in range(count)]
    cases = []
    for count, scale in [(1, 1.0), (5, 0.3), (8, 3.0), (4, 30.0)]:
        for center in [0.0, 0.01]:
            for margins in [None, [abs(draw.gauss(0, 1)) for _ in range(count)]]:
                name = f"{count} pairs, scale {scale}, center {center}, {'margins' if margins else 'no margins'}"
                cases.append(case(name, scores(count, scale), scores(count, scale), margins, center))
    path = pathlib.Path(__file__).with_name("reward_model.json")
    path.write_text(json.dumps({"by": "trl 1.16.0 RewardTrainer.compute_loss", "cases": cases}, indent=1) + "\n")


main()
