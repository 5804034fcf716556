"""`recurlight calibrate --ckpt_path FILE`: how sure the judge must be, written into the checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from recurlight.cli.commands.parsing import CommandError, CommandParser, new_file
from recurlight.errors import CheckpointError, IncompatibleComponents
from recurlight.spec.given import within

if TYPE_CHECKING:
    from torch import Tensor

    from recurlight.cli.app import RecurlightCLI
    from recurlight.stopping.calibrate import Point

__all__ = ["run"]

_NEEDS = "calibrate fits a trained model: give its checkpoint, --ckpt_path FILE"


def _parser() -> CommandParser:
    parser = CommandParser(
        "calibrate",
        "--ckpt_path FILE [--loss SHARE] [--output FILE.ckpt] [--KEY VALUE]",
        "Find on the validation puzzles how sure the halting policy must be to stop a sample, and write that "
        "into the checkpoint. Other settings as for recurlight validate.",
        "--ckpt_path x.ckpt --loss 0.02 --output calibrated.ckpt",
    )
    parser.add_argument("--loss", type=float, default=0.01, help="share of answers that may be lost; 0.01")
    parser.add_argument("--output", metavar="FILE.ckpt", help="a new file; the checkpoint itself by default")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight calibrate ...`.

    Raises:
        RecurlightError: The command line or the checkpoint is wrong, or there is nothing to calibrate.
    """
    parser = _parser()
    asked, rest = parser.parse_known_args(list(arguments))
    within("calibrate", "loss", asked.loss, above=0, most=0.5, error=CommandError)
    new_file("output", asked.output, ".ckpt")
    if not any(word.startswith("--ckpt_path") for word in rest):
        raise CheckpointError(_NEEDS)
    if not asked.output and any("hf://" in word for word in rest):
        raise CommandError("a checkpoint of the hub is not written over: give a new file, --output FILE.ckpt")
    from recurlight.cli.app import run as carry_out

    carry_out("validate", rest, partial(_calibrate, asked), "calibrate", parser.flags())


def _calibrate(asked: argparse.Namespace, made: RecurlightCLI) -> None:
    """Fit, print and write."""
    from recurlight.cli.explain.types import settings
    from recurlight.halting.base import judges
    from recurlight.stopping.calibrate import fit_threshold

    model = made.model
    if not made.request.checkpoint:
        raise CheckpointError(_NEEDS)
    if not judges(model.recursion.halting) or "eval_halting" not in settings(made.kind):
        raise IncompatibleComponents(
            f"{type(model.recursion.halting).__name__} has no confidence to calibrate: give predict and test "
            "--model.eval_halting StableAnswer or ConfidentAnswer, or train with CorrectnessHalting"
        )
    made.datamodule.setup("validate")
    model.on_load_checkpoint(made.request.checkpoint)
    model.load_state_dict(made.request.checkpoint["state_dict"])
    model.eval().to(made.trainer.strategy.root_device)
    confidence, right = _watched(made)
    chosen, points = fit_threshold(confidence, right, asked.loss)
    target = asked.output or made.config.ckpt_path
    _write(made.config.ckpt_path, target, chosen.threshold)
    sys.stdout.write(_text(confidence, right, chosen, points))
    sys.stdout.write(
        f"chosen: the lowest threshold shown, with 95 % confidence, to lose at most {asked.loss:.2%} of all "
        f"answers (Clopper-Pearson, one side); {chosen.lost} of {right.shape[1]} were lost here\n"
    )
    sys.stdout.write(f"written: {target}\nuse it:  recurlight predict --ckpt_path {target}\n")


def _watched(made: RecurlightCLI) -> tuple[Tensor, Tensor]:
    """Return after each segment how sure the judge is and which answers are right, `(S, B)` each."""
    import torch

    from recurlight.draw.seeding import seeded_evaluation
    from recurlight.types import Batch

    model, device, found = made.model, made.trainer.strategy.root_device, []
    for index, batch in enumerate(made.datamodule.val_dataloader()):
        batch = Batch(*(field.to(device) for field in batch))
        with seeded_evaluation(model.eval_seed, index, device):
            trail = [*model.recursion.unroll(batch, model.eval_segments, cycles=model.eval_cycles)]
        known = batch.answered()
        right = [model.loss.right(each.logits, batch.labels)[known] for each in trail]
        sure = [each.confidence[known] for each in trail]
        found.append((torch.stack(sure).float().cpu(), torch.stack(right).cpu()))
    if not found:
        return torch.zeros(1, 0), torch.zeros(1, 0, dtype=torch.bool)
    confidence, rights = zip(*found, strict=True)
    return torch.cat(confidence, dim=1), torch.cat(rights, dim=1)


def _text(confidence: Tensor, right: Tensor, chosen: Point, points: list[Point]) -> str:
    """Say what thresholds cost and save, and what the judge's word is worth."""
    from recurlight.diagnostics import calibration_error, reliability

    shown = sorted({*points[:: max(1, len(points) // 10)], points[-1], chosen})
    lines = [
        f"{right.shape[1]} validation puzzles, {len(right)} segments",
        "threshold    exact  segments  lost",
    ]
    for point in shown:
        mark = "  <- chosen" if point == chosen else ""
        name = "all" if point == points[-1] else f"{point.threshold:.4f}"
        lines.append(f"{name:9}  {point.accuracy:6.1%}  {point.segments:8.2f}  {point.lost:4}{mark}")
    lines.append("confidence  answered   wrong among them, after all segments")
    for least in (0.0, 0.5, 0.8, 0.9, 0.95, 0.99):
        taken = confidence[-1] >= least
        wrong = f"{(~right[-1][taken]).float().mean().item():6.1%}" if taken.any() else "     -"
        lines.append(f"{least:10.2f}  {taken.float().mean().item():8.1%}  {wrong}")
    error = calibration_error(reliability(confidence.flatten(), right.flatten())).item()
    return "\n".join([*lines, f"calibration error over all segments: {error:.3f}", ""])


def _write(source: str, target: str, threshold: float) -> None:
    """Write the rule into the settings of a checkpoint; everything else stays as it is."""
    from recurlight.checkpoints import files
    from recurlight.checkpoints.contents import MODEL
    from recurlight.spec import to_spec
    from recurlight.stopping import ConfidentJudge

    content: dict[str, Any] = files.read(source)
    made = content[MODEL] | {"eval_halting": to_spec(ConfidentJudge(threshold))}
    if made.get("eval_adaptive") is False:
        made["eval_adaptive"] = None  # predictions stop, validation and test measure all segments
    files.write(content | {MODEL: made}, target)
