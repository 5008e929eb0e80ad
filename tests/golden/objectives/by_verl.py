"""Cases computed by verl's own functions, unchanged: `core_algos` (losses, KL estimators, advantages) and `rollout_corr_helper`
(weights between sampler and trainer)."""
import numpy as np
import torch
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights
from verl.workers.config import ActorConfig

from .batches import exact, ragged

VERSION = "verl 0.9.1"
AGGREGATIONS = ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]


def loss_case(name, batch_name, batch, policy_loss, aggregation, epsilon=0.2, epsilon_high=0.28, dual_clip=3.0, beta=0.0, kl=None,
              correction=None):
    mask = exact(batch["mask"])
    logprobs = exact(batch["logprobs"]).requires_grad_()
    advantages = exact([batch["advantages"]])[0][:, None] * mask
    config = ActorConfig(
        strategy="fsdp", rollout_n=batch["group_size"], ppo_micro_batch_size_per_gpu=len(mask), clip_ratio=epsilon,
        clip_ratio_low=epsilon, clip_ratio_high=epsilon_high, clip_ratio_c=dual_clip)
    weights = None
    if correction:
        log_ratio = exact(batch["old"]) - exact(batch["sampling"])
        bounds = correction["high"] if correction["low"] is None else f"{correction['low']}_{correction['high']}"
        weights, _ = compute_rollout_correction_weights(log_ratio, mask, correction["level"], bounds)
    loss, _ = core_algos.get_policy_loss_fn(policy_loss)(
        old_log_prob=exact(batch["old"]), log_prob=logprobs, advantages=advantages, response_mask=mask, loss_agg_mode=aggregation,
        config=config, rollout_is_weights=weights)
    if beta:
        # As verl.workers.utils.losses.ppo_loss adds it.
        penalty = core_algos.kl_penalty(logprobs, exact(batch["reference"]), kl)
        loss = loss + beta * core_algos.agg_loss(penalty, mask, aggregation)
    loss.backward()
    case = {"name": name, "source": f"{VERSION} {core_algos.get_policy_loss_fn(policy_loss).__name__}", "batch": batch_name,
            "policy_loss": policy_loss, "aggregation": aggregation, "epsilon": epsilon, "epsilon_high": epsilon_high}
    if policy_loss == "vanilla":
        case["dual_clip"] = dual_clip
    if beta:
        case |= {"beta": beta, "kl_estimator": kl}
    if correction:
        case |= {"correction": correction, "weights": ragged(weights, batch["mask"])}
    if aggregation == "seq-mean-token-sum-norm":
        case["longest"] = mask.shape[1]
    return {**case, "loss": loss.item(), "by_logprobs": ragged(logprobs.grad, batch["mask"])}


def loss_cases(batches):
    def case(name, batch, *args, **options):
        return loss_case(f"verl {name}, {batch}", batch, batches[batch], *args, **options)

    for batch in ("on_policy", "off_policy", "flipped", "masked"):
        for aggregation in AGGREGATIONS:
            yield case(f"vanilla/{aggregation}", batch, "vanilla", aggregation)
        yield case("vanilla/dual clip at 1.4", batch, "vanilla", "token-mean", dual_clip=1.4)
        yield case("gspo/seq-mean-token-mean", batch, "gspo", "seq-mean-token-mean")
        yield case("gspo/token-mean", batch, "gspo", "token-mean")
        yield case("sapo", batch, "sapo", "seq-mean-token-mean")
        # With 1 below there is no lower bound, which makes it the CISPO that caps the weight only.
        yield case("cispo/no lower bound", batch, "cispo", "token-mean", epsilon=1.0, epsilon_high=4.0)
        yield case("geo_mean", batch, "geo_mean", "token-mean", epsilon=0.4, epsilon_high=0.4)
    yield case("gspo/own clip", "near", "gspo", "seq-mean-token-mean", epsilon=3e-4, epsilon_high=4e-4)
    yield case("cispo/bounded on both sides", "off_policy", "cispo", "token-mean")
    for kl in ("k1", "k2", "k3", "k1+", "k3+"):
        yield case(f"vanilla/{kl}", "masked", "vanilla", "token-mean", beta=0.04, kl=kl)
    for level in ("token", "sequence"):
        for low in (None, 0.5):
            correction = {"level": level, "low": low, "high": 2.0}
            name = f"{level} {'truncated at' if low is None else 'masked outside 0.5 and'} 2"
            for batch in ("off_policy", "masked"):
                yield case(f"vanilla/{name}", batch, "vanilla", "token-mean", correction=correction)


def kl_cases(batches):
    for estimator in ("k1", "k2", "k3", "k1+", "k3+"):
        batch = batches["off_policy"]
        logprobs = exact(batch["logprobs"]).requires_grad_()
        values = core_algos.kl_penalty(logprobs, exact(batch["reference"]), estimator)
        values.sum().backward()
        yield {"source": f"{VERSION} kl_penalty", "batch": "off_policy", "kl_estimator": estimator,
               "values": ragged(values, batch["mask"]), "by_logprobs": ragged(logprobs.grad, batch["mask"])}


SCORES = [1.0, 0.0, 0.5, 0.25, 0.0, 1.0, 0.75, 0.125]


def advantage_cases(batches):
    """One advantage a token. The score stands at the last token of a completion that takes part."""
    for name in ("off_policy", "masked"):
        batch = batches[name]
        mask = exact(batch["mask"])
        index = np.array([row // batch["group_size"] for row in range(len(mask))])
        kinds = [(kind, beta) for kind in ("rloo", "reinforce_plus_plus") for beta in (0.0, 0.05)]
        for kind, beta in [*kinds, ("reinforce_plus_plus_baseline", 0.0)]:
            rewards = at_last(SCORES, mask)
            if beta:
                # As verl.trainer.ppo.ray_trainer.apply_kl_penalty takes it off.
                penalty = core_algos.kl_penalty(exact(batch["old"]), exact(batch["reference"]), "k1") * mask
                rewards = rewards - beta * penalty
            function = core_algos.get_adv_estimator_fn(kind)
            advantages, _ = function(token_level_rewards=rewards, response_mask=mask, index=index, config=AlgoConfig(gamma=1.0))
            yield {"source": f"{VERSION} {function.__name__}", "kind": kind, "batch": name, "rewards": SCORES, "beta": beta,
                   "advantages": ragged(advantages, batch["mask"])}


def at_last(scores, mask):
    rewards = torch.zeros_like(mask)
    for row, score in enumerate(scores):
        live = mask[row].nonzero()
        if len(live):
            rewards[row, live[-1]] = score
    return rewards
