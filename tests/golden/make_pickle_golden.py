"""Checkpoints of torch.save, with the values of their tensors.

usage: python make_pickle_golden.py     writes pickle/ beside this script
Needs: torch. Made with torch 2.15.0.

tensors.bin: a state_dict of every type and layout that matters: floats of four widths, a transposed and a sliced view, a shared
storage, a parameter, an empty tensor, integers. tensors.json: {"tensors": {name: {"shape", "values"}}}; integers have no values.
runs_code.bin holds an object that would run a command, nested.bin a training checkpoint, old_format.bin the format before 1.6.
"""
import collections
import json
import os
from pathlib import Path

import torch

OUT = Path(__file__).parent / "pickle"


class Runs:
    def __reduce__(self):
        return os.system, ("touch /tmp/this-must-not-exist",)


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    shared = torch.randn(3, 4)
    tensors = collections.OrderedDict({
        "float": torch.randn(2, 3), "half": torch.randn(5).half(), "bfloat": torch.randn(2, 2).bfloat16(),
        "double": torch.tensor([1.5, -2.25], dtype=torch.float64), "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "sliced": torch.arange(20.0).reshape(4, 5)[1:3, 1:4], "shared": shared, "shared_again": shared,
        "parameter": torch.nn.Parameter(torch.randn(2)), "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4),
        "integers": torch.arange(3), "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
    })
    tensors._metadata = {"": {"version": 1}}
    torch.save(tensors, OUT / "tensors.bin")
    torch.save({"a": torch.ones(1), "b": Runs()}, OUT / "runs_code.bin")
    torch.save({"model": {"a": torch.ones(1)}, "step": 3}, OUT / "nested.bin")
    torch.save({"a": torch.ones(1)}, OUT / "old_format.bin", _use_new_zipfile_serialization=False)
    golden = {}
    for name, tensor in tensors.items():
        golden[name] = {"shape": list(tensor.shape)}
        if tensor.is_floating_point():
            golden[name]["values"] = tensor.detach().float().flatten().tolist()
    (OUT / "tensors.json").write_text(json.dumps({"torch_version": torch.__version__.split("+")[0], "tensors": golden}) + "\n")


main()
