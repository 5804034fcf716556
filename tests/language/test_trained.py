"""Causal models of recurlight as the frozen one, and reasoners that stand on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from frozen import checkpoint, reasoner
from helpers import SIZES, attention, batch, causal, loader, mixer, trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from resuming import Shifts
from saved_models import answers, require_equal, trained

from recurlight import (
    AddedInjection,
    CheckpointError,
    CheckpointMismatch,
    CorrectnessHalting,
    DeepDecoder,
    EveryUpdate,
    IncompatibleComponents,
    InjectedRefiner,
    RecursiveModule,
    SingleRefiner,
    TrainedBackbone,
    load,
    load_recursion,
)
from recurlight.__main__ import main
from recurlight.training.start import check_trainer


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("frozen") / "base.ckpt")


def test_hidden_states_and_head_are_those_of_the_model(path):
    base, backbone, asked = load_recursion(path).recursion, TrainedBackbone(path), batch()
    logits = base.solve(asked, adaptive=False).logits
    found = backbone.hidden(backbone.embed(asked.inputs)) @ backbone.readout().T
    torch.testing.assert_close(found, logits)


def test_it_reads_shorter_sequences(path):
    backbone, tokens = TrainedBackbone(path), batch().inputs
    whole = backbone.hidden(backbone.embed(tokens))
    torch.testing.assert_close(backbone.hidden(backbone.embed(tokens[:, :5])), whole[:, :5])
    torch.testing.assert_close(backbone.hidden(backbone.embed(tokens)), whole)


def test_injection_and_logits_by_an_independent_formula(path):
    """In float64: `sqrt(1/2) * (P h + sqrt(D) p)`, and `W Q a`."""
    model, backbone = reasoner(path).double().recursion, TrainedBackbone(path).double()
    generator = torch.Generator().manual_seed(1)
    encoder, decoder = model.encoder, model.decoder
    asked = batch()
    hidden = backbone.hidden(backbone.embed(asked.inputs))
    assert hidden.dtype == torch.float64
    projected = torch.einsum("dw,blw->bld", encoder.projection.weight, hidden)
    expected = (projected + SIZES.width**0.5 * encoder.position) / 2**0.5
    torch.testing.assert_close(encoder(asked.inputs, asked.task), expected, rtol=1e-12, atol=1e-12)
    answer = torch.randn(4, 16, SIZES.width, generator=generator, dtype=torch.float64)
    logits = torch.einsum("vw,wd,bld->blv", backbone.readout(), decoder.projection.weight, answer)
    torch.testing.assert_close(decoder(answer), logits, rtol=1e-12, atol=1e-12)


def test_frozen_weights_are_equal_to_the_bit_after_training(path, tmp_path):
    model = reasoner(path)
    before = [weight.clone() for weight in model.recursion.backbone.network.parameters()]
    run = trainer(max_steps=3, callbacks=[])
    run.fit(model, loader([batch(seed=step) for step in range(3)]))
    after = [*model.recursion.backbone.network.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    frozen = {id(weight) for weight in after}
    (optimizer,) = run.optimizers
    assert not frozen & {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    trained_weights = {f"recursion.encoder.{name}" for name in ("position", "projection.weight")}
    assert {name for name in saved if "refiner" not in name} == {
        *trained_weights,
        "recursion.decoder.projection.weight",
    }


def test_a_checkpoint_is_enough(path, tmp_path):
    model = reasoner(path)
    saved = trained(model, tmp_path / "last.ckpt")
    assert saved["recurlight"]["backbone"] == TrainedBackbone(path).identity() | {"symbols": ""}
    require_equal(RecursiveModule.load_from_checkpoint(tmp_path / "last.ckpt"), model)
    recursion, evaluation = load_recursion(tmp_path / "last.ckpt")
    model.eval()
    asked = batch()
    assert torch.equal(recursion.solve(asked, **evaluation).logits, model(asked).logits)


IN_ANOTHER_PROCESS = """
import sys, torch
from recurlight import load_recursion
recursion, evaluation = load_recursion(sys.argv[1])
assert "lightning" not in sys.modules
ones = torch.ones(1, 16, dtype=torch.int64)
from recurlight import Batch
print(recursion.solve(Batch(ones, ones, ones[:, 0]), **evaluation).logits.sum().item())
"""


def test_a_new_process_finds_it_again(path, tmp_path):
    model = reasoner(path)
    trained(model, tmp_path / "last.ckpt")
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "last.ckpt")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    ones = torch.ones(1, 16, dtype=torch.int64)
    found = model.eval()(batch()._replace(inputs=ones, labels=ones, task=ones[:, 0])).logits
    assert float(done.stdout) == pytest.approx(found.sum().item(), abs=1e-4), done.stderr


def test_another_file_is_refused_wherever_it_is_loaded(tmp_path):
    base = checkpoint(tmp_path / "base.ckpt")
    trained(reasoner(base), tmp_path / "last.ckpt")
    there = TrainedBackbone(base).sha256
    checkpoint(tmp_path / "base.ckpt", seed=6)
    here = TrainedBackbone(base).sha256
    message = (
        rf"the backbone {base} \({there[:8]}\) and this model on {base} \({here[:8]}\): put back the file"
    )
    for reading in (load, load_recursion, RecursiveModule.load_from_checkpoint):
        with pytest.raises(CheckpointMismatch, match=message) as caught:
            reading(tmp_path / "last.ckpt")
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointMismatch, match=message):
        trainer(max_steps=2).fit(reasoner(base), loader([batch()] * 2), ckpt_path=tmp_path / "last.ckpt")


def test_a_folder_of_runs_is_used_from_anywhere_and_moved(tmp_path, monkeypatch):
    """Fails if a relative path means the current folder alone."""
    (there := tmp_path / "there" / "runs").mkdir(parents=True)
    checkpoint(there / "base.ckpt")
    monkeypatch.chdir(there.parent)
    model = reasoner("runs/base.ckpt")
    trained(model, there / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    Path("there").rename("elsewhere")
    for reading in (load_recursion, RecursiveModule.load_from_checkpoint):
        reading("elsewhere/runs/last.ckpt")
    with pytest.raises(CheckpointError, match=r"^runs/base.ckpt: there is no such file"):
        TrainedBackbone("runs/base.ckpt")


def fit(model, steps, **settings):
    run = trainer(max_steps=steps)
    run.fit(model, Shifts(), **settings)
    return run, [weight.detach().clone() for weight in model.parameters()]


def test_a_resumed_run_is_the_whole_one(path, tmp_path):
    parts = {"halting": CorrectnessHalting(), "max_segments": 3, "exploration": 0.5}
    run, _ = fit(reasoner(path, **parts), 4)
    run.save_checkpoint(tmp_path / "half.ckpt")
    _, whole = fit(reasoner(path, **parts | {"halting": CorrectnessHalting()}), 8)
    parts["halting"] = CorrectnessHalting()
    _, resumed = fit(reasoner(path, **parts), 8, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("strategy", [FSDPStrategy, ModelParallelStrategy])
def test_strategies_that_divide_weights_are_refused(path, strategy):
    run = trainer()
    run._accelerator_connector.strategy = strategy()
    check_trainer(run)  # for who stands on nothing
    with pytest.raises(IncompatibleComponents, match=f"{strategy.__name__} divides the weights of a module"):
        check_trainer(run, TrainedBackbone(path))


def test_the_command_line_says_what_writes_a_missing_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "hybrid_s3"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(
        "recurlight: error: runs/backbone_s3/version_0/checkpoints/last.ckpt: there is no such file; "
        "`recurlight fit --config backbone_s3` writes it"
    )


def test_a_file_that_is_gone_is_named(tmp_path):
    base = checkpoint(tmp_path / "base.ckpt")
    trained(reasoner(base), tmp_path / "last.ckpt")
    (tmp_path / "base.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"base.ckpt: there is no such file; put back the file or name"):
        load_recursion(tmp_path / "last.ckpt")


def test_a_file_that_is_gone_is_to_be_put_where_it_is_looked_for(tmp_path, monkeypatch):
    """Commands such as `solve` have no setting for its place."""
    monkeypatch.chdir(tmp_path)
    checkpoint(Path("base.ckpt"))
    trained(reasoner("base.ckpt"), tmp_path / "away" / "last.ckpt")
    Path("base.ckpt").rename(tmp_path / "away" / "other.ckpt")
    told = "base.ckpt: there is no such file; put back the file under this path, here or in a folder around "
    with pytest.raises(CheckpointError, match=f"{told}last.ckpt, or name its place in model.backbone.check"):
        load(tmp_path / "away" / "last.ckpt")
    Path("away/other.ckpt").rename(tmp_path / "away" / "base.ckpt")
    load(tmp_path / "away" / "last.ckpt")


def test_a_file_that_a_recipe_writes_says_which():
    message = "no such file; `recurlight fit --config backbone_s3` writes it, or name its place, or another"
    with pytest.raises(CheckpointError, match=message):
        TrainedBackbone("runs/backbone_s3/version_0/checkpoints/last.ckpt")


KINDS = {
    "another read-out": (
        {"decoder": DeepDecoder(causal())},
        "its answers are not read out by a TokenDecoder",
    ),
    "prefix": ({"prefix": 1}, "it has a task prefix"),
    "numbers": ({"features": 2}, "it reads numbers"),
}


@pytest.mark.parametrize("name", KINDS)
def test_models_of_another_kind_are_refused(name, tmp_path):
    parts, message = KINDS[name]
    base = checkpoint(tmp_path / "base.ckpt", **parts)
    with pytest.raises(
        IncompatibleComponents, match=f"base.ckpt is no plain model of tokens, {message}: give"
    ):
        TrainedBackbone(base)


@pytest.mark.parametrize(
    "refiner",
    [
        lambda: SingleRefiner(attention()),
        lambda: SingleRefiner(mixer()),
        lambda: InjectedRefiner(causal(), AddedInjection(), 0.5),
    ],
    ids=["attention", "cells for places", "noise"],
)
def test_a_model_that_is_not_causal_is_refused(refiner, tmp_path):
    base = checkpoint(tmp_path / "base.ckpt", refiner=refiner())
    with pytest.raises(IncompatibleComponents, match=r"TrainedBackbone.* is no causal model"):
        reasoner(base)


def test_that_a_model_is_not_causal_is_told_before_its_symbols_are_asked_for(tmp_path):
    base = checkpoint(tmp_path / "base.ckpt", refiner=SingleRefiner(attention()))
    with pytest.raises(IncompatibleComponents, match="is no causal model"):
        TrainedBackbone(base)


def test_a_reasoner_of_several_segments_stands_on_it(path):
    model = reasoner(path, max_segments=3, truncation=EveryUpdate())
    assert answers(model).shape == (4, 16, SIZES.vocab)


def test_writing_token_by_token_is_refused_in_one_line(path):
    with pytest.raises(IncompatibleComponents, match=r"HiddenEncoder reads a text whole, .* ask by solve"):
        next(reasoner(path).recursion.eval().generate([1, 2], count=2))


def test_a_part_for_places_cannot_stand_on_shorter_text(path):
    assert reasoner(path, refiner=SingleRefiner(mixer())).recursion.backbone.positions == 16
