"""Write the golden checkpoint of this release, and what it answers. Run it with recurlight installed:

    python tests/golden/make_checkpoint.py

Later versions must load it, answer the same and train on. Write a new one for every release, beside the old.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

import recurlight
from recurlight import (
    AdamATan2,
    Batch,
    CorrectnessHalting,
    LastCycles,
    LinearWarmup,
    MixerCell,
    RecursiveModule,
    SudokuData,
    TwoLevelRefiner,
)

FOLDER = Path(__file__).parent


def questions() -> Batch:
    """Return the batch whose answers are kept."""
    tokens = (torch.arange(32).reshape(2, 16) * 5) % 5 + 1
    tokens = (tokens + torch.arange(16)) % 5 + 1
    return Batch(tokens, tokens, torch.zeros(2, dtype=torch.int64))


def trainer(steps: int) -> Trainer:
    """Return a trainer that only trains, up to a number of steps."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    average = EMAWeightAveraging(decay=0.5, use_buffers=False)
    return Trainer(max_steps=steps, accelerator="cpu", callbacks=[average], limit_val_batches=0, **quiet)


def data() -> SudokuData:
    """Return the puzzles that the model is trained on."""
    return SudokuData(size=4, num_train=8, num_val=4, num_test=4, batch_size=4)


def main() -> int:
    version = recurlight.__version__
    if not version[0].isdigit():
        sys.stderr.write("install recurlight first: the checkpoint holds its version\n")
        return 2
    puzzles = data()
    model = RecursiveModule(
        puzzles.vocab_size,
        puzzles.seq_len,
        TwoLevelRefiner(MixerCell(1, expansion=1.0, multiple=4), latent_steps=2),
        LastCycles(1),
        CorrectnessHalting(),
        width=4,
        cycles=2,
        max_segments=3,
        optimizer=partial(AdamATan2, lr=0.01),
        scheduler=partial(LinearWarmup, warmup=2),
    )
    run = trainer(3)
    run.fit(model, puzzles)
    run.save_checkpoint(FOLDER / f"{version}.ckpt")
    model.eval()
    answers = next(iter(model.recursion.unroll(questions()))).logits
    (FOLDER / f"{version}.json").write_text(json.dumps(answers.tolist()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
