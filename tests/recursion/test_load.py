"""The driver of a checkpoint, without Lightning."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import NUMBERS, batch, loader, numbers, trainer
from resuming import Shifts

from recurlight import (
    Batch,
    CorrectnessHalting,
    Denoising,
    LastCycles,
    RecursiveModule,
    SparseTable,
    TokenEncoder,
    TransformerCell,
    TwoLevelRefiner,
    load_recursion,
)
from recurlight.checkpoints import files
from recurlight.errors import CheckpointError, CheckpointMismatch, UntrustedCode


def made() -> RecursiveModule:
    """With everything that a driver may be made with."""
    parts = TwoLevelRefiner(TransformerCell(1, heads=2, multiple=16), latent_steps=1), LastCycles(1)
    encoder = TokenEncoder(task_table=SparseTable())
    settings = {"width": 16, "prefix": 1, "cycles": 2, "max_segments": 3, "exploration": 0.25, "seed": 5}
    evaluation = {"eval_cycles": 1, "eval_segments": 2, "eval_adaptive": True}
    groups = [{"parts": ["decoder"], "frozen": True}]
    settings |= {"num_tasks": 4, "encoder": encoder, "optimizer_groups": groups}
    return RecursiveModule(6, 16, *parts, CorrectnessHalting(), **settings, **evaluation)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained model and its checkpoint."""
    one = made()
    fit = trainer(max_steps=2, limit_val_batches=0)
    fit.fit(one, Shifts())
    path = tmp_path_factory.mktemp("saved") / "last.ckpt"
    fit.save_checkpoint(path)
    return one.eval(), path


def test_it_is_the_driver_of_the_module_and_answers_alike(saved):
    """Breaks when a size, a part, a setting of evaluation or a weight is left behind."""
    one, path = saved
    recursion, evaluation = load_recursion(path)
    assert recursion.sizes == one.recursion.sizes
    assert (recursion.cycles, recursion.max_segments, recursion.exploration, recursion.seed) == (
        2,
        3,
        0.25,
        5,
    )
    assert evaluation == {"max_segments": 2, "adaptive": True, "cycles": 1}
    assert recursion.state_dict().keys() == one.recursion.state_dict().keys()
    asked = batch(5)
    with torch.no_grad():
        for ours, theirs in zip(recursion.solve(asked, **evaluation), one(asked), strict=True):
            assert torch.equal(ours, theirs)
    assert not recursion.training
    assert [name for name, weight in recursion.named_parameters() if not weight.requires_grad] == [
        "decoder.head.weight"
    ]


def test_a_model_of_numbers_is_told_by_its_checkpoint_too(tmp_path):
    """Breaks when features and targets are left behind, or a guess of numbers."""
    parts = TwoLevelRefiner(TransformerCell(1, heads=2, multiple=16), latent_steps=1), LastCycles(1)
    sizes = {
        "width": 16,
        "features": NUMBERS.features,
        "targets": NUMBERS.targets,
        "supervision": Denoising(),
        "max_segments": 2,
    }
    one = RecursiveModule(0, 16, *parts, CorrectnessHalting(), **sizes)
    fit = trainer(max_steps=2)
    fit.fit(one, loader([numbers(4), numbers(4, seed=1)]))
    fit.save_checkpoint(tmp_path / "last.ckpt")
    recursion, _ = load_recursion(tmp_path / "last.ckpt")
    assert recursion.sizes == one.recursion.sizes
    found = []
    for driver in (recursion, one.recursion.eval()):
        torch.manual_seed(0)
        found.append(driver.solve(numbers(3), 2, adaptive=False).logits)
    assert torch.equal(*found)


def test_lightning_is_not_imported(saved, tmp_path):
    """Breaks when loading, solving or a step of training imports Lightning, or needs it."""
    code = f"""
import sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in ("lightning", "pytorch_lightning", "torchmetrics"), name

sys.meta_path.insert(0, Without())
import torch, recurlight
recursion, evaluation = recurlight.load_recursion({str(saved[1])!r})
ones = torch.ones(3, 16, dtype=torch.int64)
batch = recurlight.Batch(ones, ones, ones[:, 0])
torch.save(recursion.solve(batch, **evaluation).logits, {str(tmp_path / "logits.pt")!r})
loss = recursion.learn(recursion.start(batch), batch, recurlight.SoftmaxCrossEntropy(), 0).loss
loss.backward()
recurlight.AdamATan2(recursion.parameters()).step()
assert not any(name.partition(".")[0] in ("lightning", "torchmetrics") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    ones = torch.ones(3, 16, dtype=torch.int64)
    with torch.no_grad():
        expected = saved[0](Batch(ones, ones, ones[:, 0])).logits
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), expected, rtol=0, atol=1e-6)


def test_the_golden_checkpoint_loads(request):
    path = request.config.rootpath / "tests/golden/0.1.0.ckpt"
    recursion, evaluation = load_recursion(path)
    whole = RecursiveModule.load_from_checkpoint(path)
    assert evaluation["adaptive"] == whole.eval_adaptive
    theirs = whole.recursion.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in recursion.state_dict().items())


def edited(saved, tmp_path, change):
    content = torch.load(saved[1], weights_only=True)
    change(content)
    files.write(content, tmp_path / "edited.ckpt")
    return tmp_path / "edited.ckpt"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.pop("state_dict"), CheckpointMismatch, "no checkpoint of recurlight"),
        (lambda c: c["recurlight"].update(format=99), CheckpointMismatch, ".* in format 99"),
        (
            lambda c: c["hyper_parameters"].update(halting={"class_path": "os.system"}),
            UntrustedCode,
            "'os.system' was not imported",
        ),
        (
            lambda c: (c["hyper_parameters"].pop("refiner"), c["recurlight"].update(model="mine.Own")),
            CheckpointMismatch,
            "it is of the class mine.Own, which may make its driver .*: use Own.load_from_checkpoint",
        ),
        (
            lambda c: c["state_dict"].pop("recursion.decoder.head.weight"),
            CheckpointMismatch,
            "its weights are not those of the model that it describes: .*decoder.head.weight",
        ),
    ],
)
def test_what_is_no_driver_is_refused_in_one_line(saved, tmp_path, change, error, message):
    path = edited(saved, tmp_path, change)
    with pytest.raises(error, match=f"^{path}: {message}") as caught:
        load_recursion(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(CheckpointError, match=r"gone\.ckpt: there is no such file"):
        load_recursion("gone.ckpt")
