"""A cycle a segment is the same loop: what `eval_cycles: 1` tells of a model trained as one segment."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recurlight import (
    AddedInjection,
    CausalTransformerCell,
    DeepDecoder,
    DeepEncoder,
    EveryUpdate,
    FixedHalting,
    InjectedRefiner,
    ProjectedInjection,
    QuestionStartRefiner,
    Recursion,
    SingleRefiner,
    Sizes,
    TwoLevelRefiner,
)
from recurlight.draw.seeding import seeded_evaluation
from recurlight.types import Batch


def cell() -> CausalTransformerCell:
    return CausalTransformerCell(1, heads=2)


REFINERS = {
    "single": lambda: SingleRefiner(cell()),
    "injected": lambda: InjectedRefiner(cell(), AddedInjection()),
    "noise": lambda: InjectedRefiner(cell(), ProjectedInjection(), sigma=0.63),
    "two levels": lambda: TwoLevelRefiner(cell(), cell(), latent_steps=2),
    "question start": lambda: QuestionStartRefiner(cell(), cell(), latent_steps=2),
}


def answers(recursion: Recursion, segments: int, cycles: int) -> list[Tensor]:
    tokens = torch.randint(1, 9, (3, 16), generator=torch.Generator().manual_seed(1))
    with seeded_evaluation(0, 0, torch.device("cpu")):
        unrolled = recursion.unroll(Batch(tokens, tokens, tokens[:, 0]), segments, cycles=cycles)
        return [prediction.logits for prediction in unrolled]


@pytest.mark.parametrize("name", REFINERS)
def test_segments_of_one_cycle_are_the_cycles_of_one_segment(name):
    """Fails if a segment begins anew, reads another question or draws another start than the one before."""
    coded = {"encoder": DeepEncoder(cell()), "decoder": DeepDecoder(cell())}
    parts = REFINERS[name](), EveryUpdate(), FixedHalting()
    recursion = Recursion(Sizes(9, 16, 32), *parts, **coded, cycles=4, max_segments=1)
    by_cycle = answers(recursion, segments=8, cycles=1)
    for cycles in (1, 2, 4, 8):
        assert torch.equal(by_cycle[cycles - 1], answers(recursion, segments=1, cycles=cycles)[0])
    assert not torch.equal(by_cycle[0], by_cycle[7])
