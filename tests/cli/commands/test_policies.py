"""`recurlight policies` and `recurlight env`: lists to choose from, and to report with."""

import importlib
import inspect
import re
import sys

import pytest
import torch

import recurlight
from recurlight.__main__ import main


def printed(capsys, *arguments):
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def test_every_public_part_is_listed(capsys):
    listed = set(re.findall(r"^  (\w+)  ", printed(capsys, "policies"), re.MULTILINE))
    kinds = (
        recurlight.Refiner, recurlight.Injection, recurlight.Halting, recurlight.GradientTruncation,
        recurlight.FixedPointSolver, recurlight.Stopping, recurlight.Selector, recurlight.Supervision,
        recurlight.Encoder, recurlight.Decoder, recurlight.SequenceLoss, recurlight.PuzzleData,
        recurlight.Curriculum, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler,
    )  # fmt: skip
    public = {name: getattr(recurlight, name) for name in recurlight.__all__}
    parts = {
        name
        for name, part in public.items()
        if isinstance(part, type) and issubclass(part, kinds) and not inspect.isabstract(part)
    }
    assert parts <= listed
    assert {"MixerCell", "TransformerCell", "PredictionWriter"} <= listed
    assert {"Refiner", "StartVector", "Solution", "Moment", "PuzzleData"}.isdisjoint(listed)


def test_one_kind_is_listed_alone_with_its_setting(capsys):
    lines = printed(capsys, "policies", "haltings").splitlines()
    assert lines[0] == "haltings: --model.halting"
    assert lines[1:] == sorted(lines[1:])
    assert "  FixedHalting        Never stop before the cap of `max_segments`; nothing is learnt." in lines


def test_parts_of_installed_packages_are_listed_and_not_imported(tmp_path, monkeypatch, capsys):
    information = tmp_path / "slow_parts-2.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-parts\nVersion: 2.5\n")
    (information / "entry_points.txt").write_text("[recurlight.parts]\nSlow = slow_parts.refiner:Slow\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert "  Slow  slow_parts.refiner of slow-parts 2.5\n" in printed(capsys, "policies", "plugins")
    assert "plug-in          Slow of slow-parts 2.5\n" in printed(capsys, "env")
    assert "slow_parts" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["policies", "refiner"],
            "'refiner' is no kind of part; did you mean 'refiners'? recurlight policies [",
        ),
        (["env", "all"], "env takes no arguments, 'all' is one: recurlight env"),
    ],
)
def test_wrong_words_are_told_in_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    found = capsys.readouterr().err
    assert found.startswith(f"recurlight: error: {said}")
    assert found.count("\n") == 1


def test_a_report_tells_versions_and_no_path(capsys):
    facts = dict(re.findall(r"^(\S+) +(.*)$", printed(capsys, "env"), re.MULTILINE))
    assert facts["torch"] == torch.__version__.partition("+")[0]
    assert facts["recurlight"] == recurlight.__version__
    assert facts["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert int(facts["cores"]) > 0
    assert not re.search(r"/\w+/", "".join(facts.values()))
