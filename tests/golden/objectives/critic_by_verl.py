"""Cases of PPO with a value function, computed by verl's own functions, unchanged: `core_algos` (advantages, value loss, KL
controller, KL estimates), `torch_functional` (whitening) and `ray_trainer.apply_kl_penalty`."""
import torch
from tensordict import TensorDict
from verl.protocol import DataProto
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.ray_trainer import apply_kl_penalty
from verl.utils import torch_functional

from .batches import exact

VERSION = "verl 0.9.1"

# One completion a row: whole; a tool's reply in its middle; one token; two replies, one right before the last token; cut off at
# the end of the row; begun by a given token.
MASK = [
    [1, 1, 1, 1, 1, 0, 0, 0],
    [1, 1, 0, 0, 0, 1, 1, 0],
    [1, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 1, 1, 0, 0, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 1],
    [0, 0, 1, 1, 1, 1, 0, 0],
]
SCORES = {
    "mixed": [1.0, 0.0, 0.5, -1.0, 0.0, 1.1],
    "constant": [1.0] * 6,
}


def drawn(seed, scale, rows=None):
    generator = torch.Generator().manual_seed(seed)
    rows = rows or len(MASK)
    values = torch.randn(rows, 8, generator=generator, dtype=torch.float32) * scale
    return values.double()


def of_mask(values, mask=None):
    mask = MASK if mask is None else mask
    return [[x for x, live in zip(row, alive) if live] for row, alive in zip(values.tolist(), mask)]


def batch():
    """Values and log-probabilities of the rows; what stands where the mask is 0 is to make no difference."""
    return {"values": drawn(1, 0.7), "old": -drawn(2, 1.5).abs(), "reference": -drawn(3, 1.5).abs()}


def token_rewards(scores, inputs, kl_coef):
    mask = exact(MASK)
    rewards = torch.zeros_like(mask)
    for row, score in enumerate(scores):
        rewards[row, mask[row].nonzero()[-1]] = score
    penalty = core_algos.kl_penalty(inputs["old"], inputs["reference"], "k1") * mask
    return rewards - kl_coef * penalty


def gae_cases():
    inputs, mask = batch(), exact(MASK)
    settings = [
        (1.0, 1.0, None, 0.0), (1.0, 0.95, None, 0.0), (0.9, 0.8, None, 0.0), (1.0, 0.0, None, 0.0), (1.0, 0.95, None, 0.05),
        (0.99, 0.9, 1.0, 0.02),
    ]
    for name, scores in SCORES.items():
        scores = exact([scores])[0].tolist()
        for gamma, lam, lam_critic, kl_coef in settings:
            rewards = token_rewards(scores, inputs, kl_coef)
            values = inputs["values"]
            advantages, returns = core_algos.compute_gae_advantage_return(rewards, values, mask, gamma, lam)
            if lam_critic is not None:
                _, returns = core_algos.compute_gae_advantage_return(rewards, values, mask, gamma, lam_critic)
            case = {"source": f"{VERSION} compute_gae_advantage_return", "name": f"{name}, gamma {gamma}, lam {lam}, kl {kl_coef}",
                    "mask": MASK, "scores": scores, "gamma": gamma, "lam": lam, "kl_coef": kl_coef}
            if lam_critic is not None:
                case["lam_critic"] = lam_critic
            yield {**case, **{key: of_mask(value) for key, value in inputs.items()},
                   "advantages": of_mask(advantages), "returns": of_mask(returns)}


def whiten_cases():
    for seed, scale in ((4, 1.0), (5, 1e-3), (6, 40.0)):
        values = drawn(seed, scale) + scale
        yield {"source": f"{VERSION} masked_whiten", "mask": MASK, "values": of_mask(values),
               "whitened": of_mask(torch_functional.masked_whiten(values, exact(MASK)))}
    constant = torch.full((len(MASK), 8), 0.75)
    yield {"source": f"{VERSION} masked_whiten", "mask": MASK, "values": of_mask(constant),
           "whitened": of_mask(torch_functional.masked_whiten(constant, exact(MASK)))}


def value_cases():
    mask = exact(MASK)
    old, returns = drawn(7, 0.5), drawn(8, 1.0)
    for cliprange in (0.05, 0.2, 0.5):
        for scale in (0.0, 0.1, 0.8):
            values = (old + drawn(9, scale)).float().double().requires_grad_()
            loss, clipped = core_algos.compute_value_loss(
                vpreds=values, returns=returns, values=old, response_mask=mask, cliprange_value=cliprange, loss_agg_mode="token-mean")
            loss.backward()
            yield {"source": f"{VERSION} compute_value_loss", "mask": MASK, "cliprange": cliprange, "values": of_mask(values.detach()),
                   "old": of_mask(old), "returns": of_mask(returns), "loss": loss.item(), "clipped": clipped.item(),
                   "by_values": of_mask(values.grad)}


def kl_cases():
    for start, target, horizon in ((0.15, 6.0, 10000.0), (0.001, 0.1, 500.0)):
        control = core_algos.AdaptiveKLController(init_kl_coef=start, target_kl=target, horizon=horizon)
        kls, coefficients = [0.0, 0.05, 0.1, 0.11, 5.9, 6.6, 60.0, 0.09], []
        for kl in kls:
            control.update(current_kl=kl, n_steps=64)
            coefficients.append(float(control.value))
        yield {"source": f"{VERSION} AdaptiveKLController", "start": start, "target_kl": target, "horizon": horizon, "completions": 64,
               "kl": kls, "coefficients": coefficients}


def apply_cases():
    inputs, mask = batch(), exact(MASK)
    for estimator in ("k1", "k2", "k3"):
        control = core_algos.AdaptiveKLController(init_kl_coef=0.2, target_kl=0.5, horizon=40.0)
        scores = torch.zeros_like(mask)
        tensors = TensorDict({"response_mask": mask, "token_level_scores": scores, "old_log_probs": inputs["old"],
                              "ref_log_prob": inputs["reference"]}, batch_size=[len(MASK)])
        data, metrics = apply_kl_penalty(DataProto(batch=tensors), control, estimator)
        yield {"source": f"{VERSION} apply_kl_penalty", "mask": MASK, "kl_estimator": estimator, "start": 0.2, "target_kl": 0.5,
               "horizon": 40.0, "old": of_mask(inputs["old"]), "reference": of_mask(inputs["reference"]),
               "rewards": of_mask(data.batch["token_level_rewards"]), "kl": metrics["actor/reward_kl_penalty"],
               "coefficient": float(control.value)}
