"""`recurlight check --config FILE`: all is made, and one step is run and weighed; nothing is trained."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from recurlight.cli.commands.parsing import CommandParser
from recurlight.spec.given import within

if TYPE_CHECKING:
    from torch import Tensor

    from recurlight.cli.app import RecurlightCLI
    from recurlight.diagnostics.costs import StepCosts
    from recurlight.training.module import RecursiveModule
    from recurlight.types import Learnt

__all__ = ["run"]


def _parser() -> CommandParser:
    parser = CommandParser(
        "check",
        "--config FILE_OR_RECIPE ... [--samples N] [--KEY VALUE]",
        "Make what a configuration describes, run one step on a few samples, and say what training will "
        "cost. Settings as for recurlight fit; nothing is trained, and only puzzles are kept.",
        "--config trm_sudoku --config small --model.width 128",
    )
    parser.add_argument("--samples", type=int, default=4, help="training samples to run; 4")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight check ...`.

    Raises:
        RecurlightError: The configuration is wrong, or the composition cannot take a step.
    """
    parser = _parser()
    asked, rest = parser.parse_known_args(list(arguments))
    within("check", "samples", asked.samples, 1)
    from recurlight.cli.app import run as carry_out

    carry_out("fit", rest, partial(_check, asked.samples), "check", parser.flags())


def _check(samples: int, made: RecurlightCLI) -> None:
    """Run one step on a few samples, and print what was found."""
    from recurlight.diagnostics.costs import step_costs
    from recurlight.supervision import Turn
    from recurlight.types import Batch

    model, data = made.model, made.datamodule
    data.prepare_data()
    data.setup("fit")
    batch = Batch(*(field[:samples] for field in next(iter(data.train_dataloader()))))
    recursion, supervision = model.recursion, model.supervision
    carry, turn = supervision.start(recursion, batch), Turn(0, model.halting_weight)
    learnt: list[Learnt] = []

    def step() -> Tensor:
        learnt.append(supervision.step(recursion, carry, batch, model.loss, turn))
        return learnt[0].loss

    cells = [*{id(cell): cell for cell in recursion.refiner.cells().values()}.values()]
    costs = step_costs(model, cells, step)
    answers = model.loss(learnt[0].segment.logits.detach(), learnt[0].carry.batch.labels).mean().item()
    sys.stdout.write(
        "".join(f"{name:11} {text}\n" for name, text in _lines(made, costs, len(batch.task), answers))
    )


def _lines(made: RecurlightCLI, costs: StepCosts, samples: int, answers: float) -> Iterator[tuple[str, str]]:
    """Write what was found, a name and a text for each line."""
    model, slots = made.model, made.datamodule.batch_size
    recursion, schedule = model.recursion, model.recursion.refiner.schedule()
    parts = recursion.refiner, recursion.truncation, recursion.halting, model.supervision
    yield "model", ", ".join(type(part).__name__ for part in parts)
    yield "data", f"{type(made.datamodule).__name__}, {slots:,} slots of {recursion.sizes.tokens:,} positions"
    yield from _weights(model)
    segment, most = recursion.cycles * len(schedule), recursion.max_segments
    yield "segment", f"{recursion.cycles} cycles of {' '.join(schedule)} = {segment} updates"
    yield "sample", f"at most {most} segments = {most * segment} updates"
    yield "step", f"{costs.updates} updates of a cell, {costs.with_gradient} with gradient"
    flops, saved = costs.flops / samples * slots, costs.saved / samples * slots
    yield "", f"{_scaled(flops, 1000, 'FLOP')}, {_scaled(saved, 1024, 'iB')} kept for the backward pass"
    yield "", f"of {slots:,} slots, reckoned from {samples} that were run"
    tokens = recursion.sizes.vocab
    beside = f"; a guess among {tokens} tokens costs {math.log(tokens):.3f}" if tokens else ""
    yield "first loss", f"{costs.loss:.3f}, of which answers {answers:.3f}{beside}"


def _weights(model: RecursiveModule) -> Iterator[tuple[str, str]]:
    """Count the parameters of each part once, where a cell serves several levels too."""
    recursion = model.recursion
    total = sum(weight.numel() for weight in model.parameters())
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = f", {total - trained:,} of them frozen" if trained < total else ""
    yield "parameters", f"{total:,}{frozen}"
    for name in ("encoder", "refiner", "decoder", "halting"):
        count = sum(weight.numel() for weight in getattr(recursion, name).parameters())
        yield "", f"{name} {count:,}"
    if recursion.backbone is not None:
        count, whole = (
            sum(weight.numel() for weight in part.parameters())
            for part in (recursion.backbone, recursion.backbone.network)
        )
        yield "", f"backbone {count:,} of {whole:,}, the others are never trained and are not counted"


def _scaled(number: float, base: int, unit: str) -> str:
    """Write a number with three digits and the letter of its thousands.

    Example:
        >>> _scaled(12_345_678, 1000, "FLOP"), _scaled(5 * 2**30, 1024, "iB")
        ('12.3 MFLOP', '5.00 GiB')
    """
    power = min(int(math.log(max(number, 1), base)), 5)
    value = number / base**power
    digits = max(2 - int(math.log10(max(value, 1))), 0)
    return f"{value:.{digits}f} {('', 'K', 'M', 'G', 'T', 'P')[power]}{unit}"
