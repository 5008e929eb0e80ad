"""The inputs of the golden cases. Every number is a float32, so that float32 code gets exactly what the reference got.

A batch has one list per completion in each of its fields, one entry a token: `logprobs` of the policy, `old` of the policy that
ratios start from, `reference`, `sampling` (of the sampler), `mask` (0: the token takes no part; a row of zeros is a completion
that was cut off). `advantages` has one entry a completion. Where there are `logits` [tokens, 7], `logprobs` are those of
`tokens` under their softmax, and not written down.
"""
import torch

# Eight completions, two groups of four. Ratios are far below and far above every clip, for tokens, for the means of completions
# and for their sums, under advantages of both signs; none lies so near a bound that rounding could carry it across.
LOGPROBS = [
    [-0.31, -1.72, -0.05, -2.4, -0.9],
    [-1.1, -0.44, -3.05],
    [-0.62, -0.08, -1.95, -0.77, -0.29, -4.1, -0.003],
    [-2.2, -0.51],
    [-1.3, -0.85, -0.11, -2.75],
    [-0.4, -3.3, -1.15],
    [-0.68],
    [-0.02, -2.1, -0.95, -1.4, -0.33, -5.2],
]
ADVANTAGES = [1.25, -0.8, -1.4, 0.6, -0.9, 0.75, 1.1, -0.55]
# log (policy / old). The means of the completions: −0.02, 0.02, −0.06, 0.02, 0.35, 0.49, −0.35, −0.35.
LOG_RATIOS = [
    [0.0, 0.4, -0.5, 0.12, -0.1],
    [0.3, -0.3, 0.05],
    [-0.6, 0.35, 0.01, -0.15, 0.2, -0.9, 0.7],
    [0.21, -0.18],
    [1.3, 0.5, 0.05, -0.45],
    [1.75, 0.02, -0.3],
    [-0.35],
    [-0.7, -0.1, -0.2, -0.8, 0.02, -0.3],
]
# log (reference / policy).
LOG_REFERENCE = [
    [0.05, -0.3, 0.2, 0.6, -0.01],
    [-0.7, 0.11, 0.9],
    [0.0, 0.02, -0.4, 0.33, -0.08, 1.2, -0.002],
    [0.25, -0.45],
    [0.4, -0.2, 0.03, -0.6],
    [0.1, 0.25, -0.15],
    [0.5],
    [-0.3, 0.05, 0.15, -0.02, 0.8, -0.1],
]
# log (old / sampling): some tokens, and some completions, are beyond 3, some below 0.5.
LOG_MISMATCH = [
    [0.02, -0.03, 0.0, 0.05, -0.01],
    [1.2, -0.9, 0.1],
    [0.3, 0.2, -0.1, 0.4, 0.15, 0.25, 0.1],
    [0.6, 0.08],
    [-0.5, -0.4, 0.0, -0.2],
    [0.75, 0.01, -0.02],
    [-0.8],
    [0.01, -0.02, 0.03, 0.0, 1.5, -0.04],
]
# Holes in the middle and at the end; the fifth completion was cut off.
HOLES = [
    [1, 0, 1, 1, 0],
    [1, 1, 1],
    [1, 1, 0, 0, 1, 1, 1],
    [0, 1],
    [0, 0, 0, 0],
    [1, 0, 1],
    [1],
    [1, 1, 1, 1, 0, 1],
]
GROUP_SIZE = 4


def single(value):
    """The nearest float32, as the shortest decimal that names it."""
    if isinstance(value, list):
        return [single(item) for item in value]
    return float(str(torch.tensor(value, dtype=torch.float64).to(torch.float32).numpy()[()]))


def exact(rows):
    """Float32 values in float64, padded with zeros."""
    width = max(map(len, rows))
    return torch.tensor([row + [0.0] * (width - len(row)) for row in rows]).to(torch.float32).to(torch.float64)


def ragged(tensor, rows):
    return [values[: len(row)] for values, row in zip(tensor.tolist(), rows)]


def plus(left, right, sign=1):
    return single([[a + sign * b for a, b in zip(x, y)] for x, y in zip(left, right)])


def scaled(rows, factor):
    return [[factor * value for value in row] for row in rows]


def batches():
    ones = [[1] * len(row) for row in LOGPROBS]
    old = plus(LOGPROBS, LOG_RATIOS, -1)
    base = {
        "logprobs": single(LOGPROBS), "old": old, "reference": plus(LOGPROBS, LOG_REFERENCE),
        "sampling": plus(old, LOG_MISMATCH, -1), "mask": ones, "advantages": single(ADVANTAGES), "group_size": GROUP_SIZE,
    }
    near = plus(LOGPROBS, scaled(LOG_RATIOS, 0.001), -1)
    return {
        "on_policy": {**base, "old": single(LOGPROBS), "sampling": plus(LOGPROBS, LOG_MISMATCH, -1)},
        "off_policy": base,
        "flipped": {**base, "advantages": [-value for value in base["advantages"]]},
        "masked": {**base, "mask": HOLES},
        "zero_advantages": {**base, "advantages": [0.0] * len(ADVANTAGES)},
        # Ratios that GSPO's own clip, 3e-4 below and 4e-4 above, is made for.
        "near": {**base, "old": near, "sampling": near},
        **logit_batches(),
    }


LOGIT_ROWS = [4, 3, 5, 2, 4]
LOGIT_HOLES = [[1, 1, 0, 1], [1, 1, 1], [1, 1, 1, 1, 0], [0, 0], [1, 1, 1, 1]]
LOGIT_RATIOS = [[0.1, -0.4, 0.33, 0.02], [-0.5, 0.1, 0.3], [0.45, 0.0, -0.12, 0.3, -0.05], [0.4, 0.36], [0.9, 0.4, -0.1, 0.5]]
LOGIT_REFERENCE = [[0.2, -0.1, 0.4, 0.0], [-0.3, 0.15, 0.6], [0.05, -0.5, 0.2, 0.1, -0.2], [0.3, -0.7], [0.0, 0.25, -0.35, 0.12]]


def logit_batches():
    """Five completions, 18 tokens of a vocabulary of seven; 14 are left where there are holes. With these numbers no quantile
    that a case asks for falls on a token."""
    generator = torch.Generator().manual_seed(11)
    tokens = [torch.randint(0, 7, (length,), generator=generator).tolist() for length in LOGIT_ROWS]
    logits = [(1.5 * torch.randn(length, 7, generator=generator, dtype=torch.float64)).tolist() for length in LOGIT_ROWS]
    logits = [[single([round(value, 3) for value in token]) for token in row] for row in logits]
    logprobs = [
        [torch.tensor(z, dtype=torch.float64).log_softmax(-1)[c].item() for z, c in zip(row, chosen)]
        for row, chosen in zip(logits, tokens)
    ]
    old = plus(logprobs, LOGIT_RATIOS, -1)
    base = {
        "logits": logits, "tokens": tokens, "old": old, "reference": plus(logprobs, LOGIT_REFERENCE),
        "sampling": old, "mask": [[1] * length for length in LOGIT_ROWS], "advantages": single([1.0, -0.7, 0.9, -1.2, 0.5]),
        "group_size": 5,
    }
    return {"logits": base, "logits_masked": {**base, "mask": LOGIT_HOLES}}
