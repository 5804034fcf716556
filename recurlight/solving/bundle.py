"""A trained model as files that run without recurlight: programs of torch, ONNX, weights, and what they are.

Imported on use alone, for `torch.export` takes a while to import.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram

import recurlight
from recurlight.checkpoints.backbones import identity_of
from recurlight.places import free_place
from recurlight.recursion.driver import Recursion
from recurlight.recursion.export import export_segment, export_solve
from recurlight.solving.task import Task
from recurlight.spec import arguments

__all__ = ["ONNX", "SAFETENSORS", "Written", "write_bundle"]

ONNX, SAFETENSORS = ("onnx", "onnxscript"), ("safetensors",)
"""What has to be installed for the files of that name."""


class Written(NamedTuple):
    """What was written, and what was not.

    Attributes:
        files: In the order of the description.
        left_out: Why a file is not there, by its name.
    """

    files: list[Path]
    left_out: dict[str, str]


def write_bundle(recursion: Recursion, task: Task, folder: str | Path, segments: int, cycles: int) -> Written:
    """Write a trained model into a new folder, which is complete or not there.

    - `solve.pt2`: a program of torch that runs all segments, see `export_solve`;
    - `segment.pt2`: one segment, for loops of your own, see `export_segment`;
    - `solve.onnx`: the first as ONNX, if `onnx` and `onnxscript` are installed;
    - `weights.safetensors`: if `safetensors` is installed; without those of a frozen model, which the
      programs hold;
    - `description.json`: sizes, symbols, inputs and outputs, and which frozen model it stands on.

    Args:
        recursion: As it is now.
        task: How questions are written.
        folder: Must not exist.
        segments: Segments that `solve` runs.
        cycles: Cycles of a segment.

    Raises:
        RecurlightError: The folder exists, or has no place.
        IncompatibleComponents: A part cannot be exported.
    """
    target = free_place(folder, "name a new folder")
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        left_out = _fill(part, recursion, segments, cycles)
        names = sorted(path.name for path in part.iterdir())
        told = _description(recursion, task, segments, cycles) | {"files": names, "left_out": left_out}
        (part / "description.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        part.rename(target)
        target.chmod(0o755)  # that of a temporary folder is for its owner alone
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Written([target / name for name in (*names, "description.json")], left_out)


def _fill(folder: Path, recursion: Recursion, segments: int, cycles: int) -> dict[str, str]:
    """Write programs and weights; say what was left out."""
    left_out = {}
    program = export_solve(recursion, segments, cycles)
    torch.export.save(program, folder / "solve.pt2")
    if recursion.feedback is None:
        torch.export.save(export_segment(recursion, cycles), folder / "segment.pt2")
    else:
        left_out["segment.pt2"] = "a segment that is told a guess cannot be exported alone"
    if why := _lacking(ONNX) or _write_onnx(program, folder / "solve.onnx"):
        left_out["solve.onnx"] = why
    if why := _lacking(SAFETENSORS):
        left_out["weights.safetensors"] = why
    else:
        _write_weights(recursion, folder / "weights.safetensors")
    return left_out


def _lacking(packages: tuple[str, ...]) -> str:
    """Say what to install; nothing if all is there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"needs {' and '.join(missing)}: pip install 'recurlight[export]'" if missing else ""


def _write_onnx(program: ExportedProgram, path: Path) -> str:
    """Write a program as ONNX, for any number of questions; say why where torch cannot."""
    outputs = ["logits", "halted", "confidence"]
    try:
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["tokens", "task"], output_names=outputs
        )
    except torch.onnx.OnnxExporterError as error:
        return f"torch cannot write this model: {next(iter(str(error).strip().splitlines()), '')}"
    assert made is not None  # as only the older exporter returns nothing
    made.save(path, external_data=False)
    return ""


def _write_weights(recursion: Recursion, path: Path) -> None:
    """Write the weights, one tensor for each name."""
    save_file = importlib.import_module("safetensors.torch").save_file
    kept = {
        name: weight.detach().cpu().clone().contiguous() for name, weight in recursion.state_dict().items()
    }
    save_file(kept, path)


def _description(recursion: Recursion, task: Task, segments: int, cycles: int) -> dict[str, Any]:
    """Say in plain data what the files are and take."""
    sizes = recursion.sizes
    tokens = f"float32 (B, L, {sizes.features})" if sizes.features else "int64 (B, L)"
    logits = f"float32 (B, L, {sizes.targets or sizes.vocab})"
    return {
        "recurlight": recurlight.__version__,
        "torch": str(torch.__version__),
        "sizes": sizes._asdict(),
        "segments": segments,
        "cycles": cycles,
        "inputs": {"tokens": tokens, "task": "int64 (B,)"},
        "outputs": {"logits": logits, "halted": "bool (B,)", "confidence": "float32 (B,)"},
        "wording": arguments(task.wording) if task.wording else None,
        "backbone": identity_of(recursion.backbone) or None,
    }
