# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight check`: what a configuration amounts to, before anything is trained."""

import re

import pytest
from frozen import checkpoint

from recurlight import (
    CorrectnessHalting,
    LastCycles,
    MixerCell,
    RecursiveModule,
    SudokuData,
    TwoLevelRefiner,
    load_recursion,
)
from recurlight.__main__ import main

from ..fixtures import cache, failure, folder


def checked(capsys, *arguments):
    capsys.readouterr()
    assert main(["check", "--config", "tiny", *arguments]) == 0
    return capsys.readouterr().out


def test_parameters_updates_and_the_step_are_told(folder, capsys):
    text = checked(capsys)
    model = RecursiveModule.for_data(
        SudokuData(size=4),
        refiner=TwoLevelRefiner(MixerCell(), latent_steps=1),
        truncation=LastCycles(count=1),
        halting=CorrectnessHalting(),
        width=8,
    )
    assert f"parameters  {sum(weight.numel() for weight in model.parameters()):,}\n" in text
    assert "segment     2 cycles of latent answer = 4 updates\n" in text
    assert "sample      at most 2 segments = 8 updates\n" in text
    assert "step        4 updates of a cell, 2 with gradient\n" in text
    assert "a guess among 6 tokens costs 1.792\n" in text
    assert sorted(path.name for path in folder.iterdir()) == ["recipes"]  # nothing is left behind


def test_flags_change_it_and_few_samples_speak_for_a_batch(capsys):
    def told(text):
        return re.search(
            r"([\d.]+ .FLOP), ([\d.]+ .iB) kept .*\n +of 4 slots, reckoned from (\d)", text
        ).groups()

    one, many = (told(checked(capsys, "--samples", count)) for count in ("1", "400"))
    assert one[2] == "1"
    assert many[2] == "4"  # the batch has no more
    assert one[:2] == many[:2]
    assert "6 updates of a cell, 6 with gradient" in checked(
        capsys, "--model.truncation", "EveryUpdate", "--model.cycles", "3"
    )


def test_what_is_frozen_is_counted_apart(folder, capsys):
    """Fails if the weights of a frozen model are left out, or pass for those of the model."""
    path = checkpoint(folder / "base.ckpt")
    parts = ["--model.encoder", "HiddenEncoder", "--model.decoder", "HeadDecoder"]
    text = checked(capsys, "--model.backbone", "TrainedBackbone", "--model.backbone.checkpoint", path, *parts)
    frozen = sum(weight.numel() for weight in load_recursion(path).recursion.parameters())
    assert f"backbone 0 of {frozen:,}, the others are never trained and are not counted\n" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--samples", "0"], "check got samples=0: give 1 or more"),
        (["--samples", "x"], "argument --samples: invalid int value: 'x'; see: recurlight check --help"),
        (["--config", "tiny", "--model.widht", "9"], "widht"),
    ],
)
def test_wrong_uses_are_one_line(arguments, said, capsys):
    assert said in failure(capsys, "check", *arguments)
