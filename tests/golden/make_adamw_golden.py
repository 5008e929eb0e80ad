"""Golden steps of torch.optim.AdamW after torch.nn.utils.clip_grad_norm_.

usage: python make_adamw_golden.py     writes adamw.json beside this script
Needs: torch. Made with torch 2.15.0 (CPU).

cases[]: two parameters, a 3x4 matrix `w` and a vector `b` of 4, and five steps. Every step sets `grad`, clips the norm of both
gradients together to `max_norm` (null: no clipping), and takes a step of AdamW with decoupled weight decay on both parameters.
`total_norm` is the norm before clipping. torch clips by max_norm / (norm + 1e-6), never by more than 1. In float64.
"""
import json
from pathlib import Path

import torch

HERE = Path(__file__).parent
STEPS = 5


def number(value):
    return [number(item) for item in value] if isinstance(value, list) else float(f"{value:.10g}")


def case(name, *, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, max_norm=1.0, scales=(1, 0.1, 3, 0.01, 1)):
    generator = torch.Generator().manual_seed(7)

    def random(*shape):  # few digits, so that float32 reads them nearly exactly
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) * 1e4).round() / 1e4

    w, b = (torch.nn.Parameter(random(*shape)) for shape in [(3, 4), (4,)])
    out = {"name": name, "lr": lr, "betas": list(betas), "eps": eps, "weight_decay": weight_decay, "max_norm": max_norm,
           "initial": {"w": w.tolist(), "b": b.tolist()}, "steps": []}
    optimizer = torch.optim.AdamW([w, b], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    for scale in scales:
        w.grad, b.grad = ((random(*p.shape) * scale * 1e6).round() / 1e6 for p in (w, b))
        step = {"grad": {"w": w.grad.tolist(), "b": b.grad.tolist()}}
        if max_norm is None:
            step["total_norm"] = number(torch.nn.utils.get_total_norm([w.grad, b.grad]).item())
        else:
            step["total_norm"] = number(torch.nn.utils.clip_grad_norm_([w, b], max_norm).item())
        optimizer.step()
        step["after"] = {"w": number(w.tolist()), "b": number(b.tolist())}
        out["steps"].append(step)
    return out


cases = [
    case(f"beta2_{beta2}_decay_{decay}", betas=(0.9, beta2), weight_decay=decay)
    for beta2 in (0.95, 0.999) for decay in (0.0, 0.1)
] + [
    case("no_clipping", betas=(0.9, 0.95), weight_decay=0.1, max_norm=None),
    # The second moment is near eps here: eps is added outside the square root, after the bias correction.
    case("small_gradients", betas=(0.9, 0.999), scales=(1e-5,) * STEPS, eps=1e-6),
    case("zero_gradients", weight_decay=0.1, scales=(0.0,) * STEPS),
]
with open(HERE / "adamw.json", "w") as out:
    out.write('{"torch_version": "%s", "cases": [\n%s\n]}\n' % (torch.__version__, ",\n".join(json.dumps(row) for row in cases)))
json.loads((HERE / "adamw.json").read_text())
for row in cases:
    print(row["name"], [step["total_norm"] for step in row["steps"]], row["steps"][-1]["after"]["b"])
