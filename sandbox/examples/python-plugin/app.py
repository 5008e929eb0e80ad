"""A reward in Python: how many of the reference's words the completion has.

    pip install componentize-py==0.25.1
    componentize-py -d ../../wit -w reward componentize app -o python_plugin.wasm
"""

import wit_world
from componentize_py_types import Err
from wit_world.imports.types import Sample, Score


class WitWorld(wit_world.WitWorld):
    def describe(self) -> str:
        return "the share of the reference's words that the completion has"

    def score_batch(self, samples: list[Sample]) -> list[Score]:
        return [score(sample) for sample in samples]


def score(sample: Sample) -> Score:
    if sample.reference is None:
        raise Err("a sample has no reference to compare with")
    said, wanted = sample.completion.split(), set(sample.reference.split())
    return Score(len(wanted.intersection(said)) / max(len(wanted), 1), [("words", float(len(said)))], None)
