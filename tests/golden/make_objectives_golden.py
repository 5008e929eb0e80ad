"""Golden losses, gradients and advantages of the whole GRPO family, by TRL's and verl's own code, in float64.

usage: TRL_1_9_2=DIR python make_objectives_golden.py     writes objectives.json beside this script
Needs: torch transformers trl==1.16.0 datasets accelerate, and verl==0.9.1 with `pip install --no-deps`, for which
omegaconf tensordict hydra-core ray codetiming orjson have to be there. GSPO-token is no longer part of TRL: DIR is the wheel of
trl 1.9.2, unzipped (`pip download --no-deps trl==1.9.2`). Made with torch 2.15.0 (CPU), transformers 5.23.0, trl 1.16.0, verl 0.9.1.

Nothing of what is tested was written for it: objectives/by_trl.py and objectives/by_verl.py say which functions run, and what
was put in place of a model. objectives/batches.py holds the inputs.

batches: inputs by name, one list per completion. All numbers are float32s.
trl_cases[], verl_cases[]: one loss each, with the reference's own names for its options. TRL's are `loss_type`, `level`
(`importance_sampling_level`), `epsilon`, `epsilon_high`, `delta`, `beta`, `kl_times_ratio` (`use_bias_correction_kl`), `tau_positive`,
`tau_negative`, `entropy_coef`, `top_entropy_quantile` with the tokens it `kept`, `correction` (`vllm_importance_sampling_mode` with its
bounds) with the `weights` it made; what is at TRL's neutral value is left out. `num_items` is the number of tokens that dapo and
cispo divide by, `longest` the length that dr_grpo divides by. verl's are `policy_loss`, `aggregation`, `dual_clip` and so on.
  loss         what is minimised
  by_logprobs  its derivative by each log-probability (of cases with logits: with the entropies held)
  by_entropy   its derivative by each entropy, by_logits its derivative by each logit; only where there are logits
  clipped_low, clipped_high, kl: means over the tokens, as TRL logs them
kl_cases[]: an estimator's value at each token and its derivative by the log-probability.
advantage_cases[]: `rewards` [completions][judges] with `weights` to `advantages` of completions (TRL), or `rewards` of completions to
advantages of tokens (verl); null is a judge that does not apply.
"""
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
import torch

torch.set_default_dtype(torch.float64)
from objectives import by_trl, by_verl
from objectives.batches import batches


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}") + 0.0
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


def main():
    torch.manual_seed(0)
    inputs = batches()
    parts = {
        "trl_cases": list(by_trl.loss_cases(inputs)),
        "verl_cases": list(by_verl.loss_cases(inputs)),
        "kl_cases": list(by_verl.kl_cases(inputs)),
        "advantage_cases": list(by_trl.advantage_cases(inputs)) + list(by_verl.advantage_cases(inputs)),
    }
    names = [case["name"] for part in ("trl_cases", "verl_cases") for case in parts[part]]
    assert len(names) == len(set(names)), "two cases have one name"
    versions = {name: version(name) for name in ("trl", "verl", "torch", "transformers")}
    with open(Path(__file__).parent / "objectives.json", "w") as out:
        out.write('{"versions": %s,\n"batches": {\n' % json.dumps(versions))
        out.write(",\n".join(f"{json.dumps(name)}: {json.dumps(batch)}" for name, batch in inputs.items()))
        out.write("\n}")
        for key, cases in parts.items():
            print(f"{key}: {len(cases)}", file=sys.stderr)
            out.write(f',\n"{key}": [\n' + ",\n".join(json.dumps(rounded(case)) for case in cases) + "\n]")
        out.write("\n}\n")


main()
