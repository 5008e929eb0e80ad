"""Golden divergences of distillation and their gradients by the student's logits, by TRL's own functions, in float64.

usage: python make_distillation_golden.py     writes distillation.json beside this script
Needs: torch transformers trl==1.16.0 datasets accelerate. Made with torch 2.15.0 (CPU), transformers 5.24.0, trl 1.16.0.

Which function of TRL a case is by stands in its `by`:
  gkd     GKDTrainer.generalized_jsd_loss, whole vocabulary, beta and temperature
  chunked _chunked_divergence_loss of DistillationTrainer, the same from hidden states with a head of ones
  sdft    compute_divergence over the support `ids` with add_tail_bucket, both of experimental.sdft.loss_utils
  server  _jsd_divergence with _add_tail_bucket of experimental.server_distillation
  torch   the skewed divergences, which TRL does not have: torch's kl_div of the mixture, as DistiLLM (2402.03898) defines it
Inputs are float32s: `student`, `teacher` [rows][vocabulary], one `labels` a row, where false is left out of the loss. `loss` is the sum
over the rows that count, `by_logits` its derivative by each logit of `student`.
"""
import json
import os
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="", TRL_EXPERIMENTAL_SILENCE="1")
warnings.simplefilter("ignore")
import torch
import torch.nn.functional as F
from trl.experimental.gkd import GKDTrainer
from trl.experimental.sdft import loss_utils
from trl.experimental.server_distillation import server_distillation_trainer as server
from trl.trainer.distillation_trainer import _chunked_divergence_loss

torch.set_default_dtype(torch.float64)
ROWS, VOCABULARY = 5, 13
BETAS = [0.0, 0.1, 0.5, 0.9, 1.0]


def inputs():
    torch.manual_seed(0)
    student = (2.0 * torch.randn(ROWS, VOCABULARY)).float()
    teacher = (2.0 * torch.randn(ROWS, VOCABULARY)).float()
    # One row where they are far apart, and one where they are equal.
    teacher[1] *= 6.0
    teacher[2] = student[2]
    return student.double(), teacher.double(), torch.tensor([1, 1, 1, 0, 1]).bool()


def skewed(kind, student, teacher, alpha):
    s, t = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    own, other = (t, s) if kind == "skew-forward" else (s, t)
    mixture = torch.log(alpha * own.exp() + (1.0 - alpha) * other.exp())
    return F.kl_div(mixture, own, reduction="none", log_target=True).sum(-1)


def supports(teacher, size):
    return teacher.topk(size, dim=-1).indices


def cases():
    student, teacher, counts = inputs()
    labels = torch.where(counts, 1, -100)

    def case(by, divergence, parameter, loss, temperature=1.0, ids=None):
        leaf = student.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        return {"by": by, "divergence": divergence, "parameter": parameter, "temperature": temperature,
                "ids": None if ids is None else ids.tolist(), "loss": value.item(), "by_logits": leaf.grad.tolist()}

    for beta in BETAS:
        for temperature in (1.0, 0.7):
            yield case("gkd", "generalized", beta, lambda z: GKDTrainer.generalized_jsd_loss(
                z[None], teacher[None], labels=labels[None], beta=beta, temperature=temperature, reduction="sum"), temperature)
            eye = torch.eye(VOCABULARY)
            yield case("chunked", "generalized", beta, lambda z: _chunked_divergence_loss(
                z[None], teacher[None], eye, eye, counts[None].long(), beta, num_items_in_batch=1, temperature=temperature)[0], temperature)
        for size in (1, 4, VOCABULARY - 1):
            ids = supports(teacher, size)

            def picked(z):
                return torch.gather(F.log_softmax(z, -1), -1, ids)

            def sdft(z):
                s, t = loss_utils.add_tail_bucket(picked(z)), loss_utils.add_tail_bucket(picked(teacher))
                return loss_utils.compute_divergence(s, t, beta)[counts].sum()

            def by_server(z):
                valid = torch.ones_like(ids).bool()
                (s, support), (t, _) = server._add_tail_bucket(picked(z), valid), server._add_tail_bucket(picked(teacher), valid)
                return server._jsd_divergence(s, t, beta, support)[counts].sum()

            yield case("sdft", "generalized", beta, sdft, ids=ids)
            yield case("server", "generalized", beta, by_server, ids=ids)
    for kind in ("skew-forward", "skew-reverse"):
        for alpha in (0.1, 0.5):
            yield case("torch", kind, alpha, lambda z: skewed(kind, z, teacher, alpha)[counts].sum())


def main():
    student, teacher, counts = inputs()
    made = {
        "versions": {name: version(name) for name in ("trl", "torch", "transformers")},
        "student": student.tolist(), "teacher": teacher.tolist(), "labels": counts.tolist(),
    }
    with open(Path(__file__).parent / "distillation.json", "w") as out:
        out.write(json.dumps(made)[:-1] + ',\n"cases": [\n')
        out.write(",\n".join(json.dumps(case) for case in cases()) + "\n]}\n")


main()
