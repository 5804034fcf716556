"""What `gpu.py` has found, as Markdown."""

from __future__ import annotations

from typing import Any


def line(*cells: Any) -> str:
    """Write a row of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


def titled(*titles: str) -> str:
    """Write the head of a table."""
    return "\n" + line(*titles) + line(*["---"] * len(titles))


def step_line(name: str, row: dict[str, Any], measured: dict[str, Any]) -> str:
    """Write the row of a step."""
    _, recipe, precision, how = name.split("/")
    per_second = row["flop"] / row["ms"] * 1e3
    peak = measured.get(f"peak/{precision}")
    share = f"{100 * per_second / peak['flop_per_s']:.1f} %" if peak else ""
    ms = f"{row['ms']:.1f} ({row['ms_low']:.1f} to {row['ms_high']:.1f})"
    work = f"{row['flop'] / 1e12:.3g}", f"{per_second / 1e12:.3g}", share, f"{row['samples_per_s']:,.0f}"
    waits = len(row["waits"]) if "waits" in row else ""  # counted in eager cells
    cells = f"`{recipe}`", row["positions"], row["slots"], precision, how, ms
    return line(*cells, *work, f"{row['peak_gb']:.2f}", waits)


STEP = ["recipe", "positions", "slots", "precision", "cells", "ms per step (quartiles)", "TFLOP a step"]
STEP += ["TFLOP/s", "share of peak", "samples per second", "peak GB", "waits"]


def table(found: dict[str, Any]) -> str:
    """Return all as Markdown."""
    head, measured = found["head"], found["measured"]
    kinds: dict[str, dict[str, Any]] = {"peak": {}, "step": {}, "data": {}}
    for name, row in measured.items():
        kinds[name[:4]][name] = row
    text = f"{head['device']}, torch {head['torch']}, CUDA {head['cuda']}, by `{head['command']}`\n"
    text += "Sizes are small: the figures say nothing.\n" if head["small"] else ""
    for name, row in kinds["peak"].items():
        text += f"Matrix products of {row['size']}, {name[5:]}: {row['flop_per_s'] / 1e12:.4g} TFLOP/s.\n"
    text += titled(*STEP) + "".join(step_line(name, row, measured) for name, row in kinds["step"].items())
    text += titled("pipeline", "batch", "set-up s", "batches per second")
    for name, row in kinds["data"].items():
        figures = f"{row['set_up_s']:.1f}", f"{row['batches_per_s']:.1f}"
        text += line(f"`{name[5:]}`", row["batch"], *figures)
    text += titled("training", "step", "minutes", "ms per step", "exact", "puzzles", "waits")
    for row in found["curve"]:
        spent = f"{row['trained_s'] / 60:.2f}", f"{row['ms']:.1f}", f"{100 * row['exact']:.1f} %"
        text += line(f"`{row['recipe']}`", row["step"], *spent, row["puzzles"], len(row["waits"] or ()))
    left_out = "".join(f"- {name}: {reason}\n" for name, reason in found["left_out"].items())
    return text + (f"\nLeft out:\n\n{left_out}" if left_out else "")
