"""Golden numbers of PPO with a value function, by verl's own code, in float64.

usage: python make_ppo_golden.py     writes ppo.json beside this script
Needs: torch, and verl==0.9.1 with `pip install --no-deps`, for which omegaconf tensordict hydra-core ray codetiming orjson
transformers peft datasets have to be there. Made with torch 2.15.0 (CPU), verl 0.9.1.

Nothing of what is tested was written for it: objectives/critic_by_verl.py says which functions run. All inputs are float32s. Lists
have one entry a token of a completion, given tokens and what is behind its end included: `mask` says which the policy wrote.

gae_cases[]: `scores` of completions, `values`, `old`, `reference`, `kl_coef`, `gamma`, `lam` to `returns` and whitened `advantages`.
  `lam_critic`, where it is there, is the λ of the returns. Entries where the mask is 0 are left out of the lists that follow.
whiten_cases[]: `values` to `whitened`.
value_cases[]: `values` of a critic, its `old` ones, `returns`, `cliprange` to `loss` (the mean over tokens), `by_values`, `clipped` (share).
kl_cases[]: divergences and completions of some steps to `coefficients` after each; `apply_cases[]`: the same by `apply_kl_penalty`
  from log-probabilities.
"""
import json
import os
from importlib.metadata import version
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
import torch

torch.set_default_dtype(torch.float64)
from objectives import critic_by_verl


def main():
    torch.manual_seed(0)
    parts = {
        "gae_cases": list(critic_by_verl.gae_cases()),
        "whiten_cases": list(critic_by_verl.whiten_cases()),
        "value_cases": list(critic_by_verl.value_cases()),
        "kl_cases": list(critic_by_verl.kl_cases()),
        "apply_cases": list(critic_by_verl.apply_cases()),
    }
    versions = {name: version(name) for name in ("verl", "torch")}
    with open(Path(__file__).parent / "ppo.json", "w") as out:
        out.write('{"versions": %s' % json.dumps(versions))
        for name, cases in parts.items():
            out.write(',\n"%s": [\n%s\n]' % (name, ",\n".join(json.dumps(case) for case in cases)))
        out.write("\n}\n")
    print({name: len(cases) for name, cases in parts.items()})


main()
