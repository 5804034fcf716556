"""Weights by name and shape, in Python."""

from __future__ import annotations

import pytest
import torch
from frozen import Tied, reasoner
from helpers import causal, module, trainer, trm
from torch import nn

from recurlight import (
    CorrectnessHalting,
    LastCycles,
    MixerCell,
    RecursiveModule,
    SingleRefiner,
    SparseTable,
    SudokuData,
    TokenEncoder,
    TransformerCell,
    TwoLevelRefiner,
    warm_start,
)
from recurlight.checkpoints import files
from recurlight.checkpoints.backbones import identity_of
from recurlight.errors import CheckpointError, CheckpointMismatch, IncompatibleComponents, UntrustedCode
from recurlight.training.warm_start import take_weights

PREFIX = "recursion."
BLOCK = "refiner.latent.blocks.0"


def model(
    vocab=6, tokens=9, tasks=1, seed=0, cell=TransformerCell, table=None, learned=False, width=16, multiple=16
):
    arguments = {"layers": 1, "multiple": multiple} | ({"heads": 2} if cell is TransformerCell else {})
    refiner = TwoLevelRefiner(cell(**arguments), latent_steps=1)
    encoder = TokenEncoder(learned, task_table=table)
    parts = (refiner, LastCycles(1), CorrectnessHalting(), tasks, encoder)
    made = RecursiveModule(vocab, tokens, *parts, width=width, prefix=1, seed=seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(seed)
    return made


def checkpoint(source, **more):
    return {"state_dict": {name: value.clone() for name, value in source.state_dict().items()}} | more


def taken(into, source):
    """Return the names of the weights that were left out, after checking every value."""
    before, content = checkpoint(into)["state_dict"], checkpoint(source)
    found = take_weights(into, content)
    for name, value in into.state_dict().items():
        expected = content["state_dict"][name] if name in found.taken else before[name]
        assert torch.equal(value, expected)
    assert found.taken.keys() | {*found.left_out} >= into.state_dict().keys()
    return {name.removeprefix(PREFIX) for name in found.left_out}


@pytest.mark.parametrize(
    ("there", "here", "left_out"),
    [
        ({}, {}, set()),
        ({"vocab": 8}, {}, {"encoder.token", "decoder.head.weight"}),
        ({"tasks": 3}, {"tasks": 5}, {"encoder.task"}),
        ({"tokens": 16}, {}, set()),
        (
            {"tokens": 30, "cell": MixerCell},
            {"cell": MixerCell},
            {f"refiner.latent.blocks.0.positions.{part}.weight" for part in ("gate_up", "down")},
        ),
    ],
)
def test_what_fits_is_taken_and_the_rest_begins_anew(there, here, left_out):
    """Fails when a weight that differs is an error, or takes others with it."""
    assert taken(model(**here), model(seed=1, **there)) == left_out


def test_another_network_lends_what_has_the_same_name():
    """Fails when missing and unknown names are errors, or go unsaid."""
    into, other = model(), model(seed=1, cell=MixerCell)
    left_out = taken(into, other)
    assert "refiner.latent.blocks.0.attention.qkv.weight" in left_out
    assert "refiner.latent.blocks.0.channels.down.weight" in left_out
    assert "encoder.token" not in left_out


def test_a_table_that_resizes_takes_the_mean_of_its_rows():
    """Fails when such a table is left out, or another is filled by its first rows."""
    source = model(tasks=3, table=SparseTable(), seed=1)
    rows = torch.arange(48.0).view(3, 16)
    source.recursion.encoder.task_table.rows.copy_(rows)
    for resize in (True, False):
        into = model(tasks=5, table=SparseTable(resize=resize))
        found = take_weights(into, checkpoint(source))
        expected = rows.mean(0).expand(5, 16) if resize else torch.zeros(5, 16)
        assert torch.equal(into.recursion.encoder.task_table.rows, expected)
        name = f"{PREFIX}encoder.task_table.rows"
        assert (found.means == {name: 3}) == resize
        assert (name in found.left_out) != resize


def test_parts_alone_are_taken():
    """Fails when what nobody asked for comes along, or buffers of a part stay behind."""
    into, source = model(), model(seed=1)
    before, content = checkpoint(into)["state_dict"], checkpoint(source)
    found = take_weights(into, content, parts=["refiner", "!*.bias"])
    for name, value in into.state_dict().items():
        mine = name.startswith(f"{PREFIX}refiner.")
        assert torch.equal(value, content["state_dict"][name] if mine else before[name])
        assert (name in found.taken) == mine
    assert "  left out  encoder.task was not asked for" in str(found).splitlines()
    assert into.names == {}  # what tokens and tasks stand for is the encoder's


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["refinr"], r"weights_parts: 'refinr' names nothing of the model; did you mean 'refiner'\?"),
        (["refiner", "refiner"], "'refiner' stands there twice"),
    ],
)
def test_parts_that_are_not_there_are_refused(parts, message):
    with pytest.raises(IncompatibleComponents, match=message):
        take_weights(model(), checkpoint(model()), parts)


def test_more_tokens_tasks_and_positions_keep_the_rows_that_there_were():
    """Fails when fresh rows are not the model's own, or common ones move."""
    learned = {"cell": TransformerCell, "learned": True}
    into, source = model(8, 16, 5, **learned), model(6, 9, 3, seed=1, **learned)
    before, old = checkpoint(into)["state_dict"], source.state_dict()
    found = take_weights(into, checkpoint(source), widen=["encoder", "decoder"])
    rows = {"encoder.token": 6, "encoder.task": 3, "encoder.position": 10, "decoder.head.weight": 6}
    assert {name.removeprefix(PREFIX): count for name, count in found.widened.items()} == rows
    for name, value in into.state_dict().items():
        count = rows.get(name.removeprefix(PREFIX), len(value))
        assert torch.equal(value[:count], old[name])
        assert torch.equal(value[count:], before[name][count:])
        assert found.taken[name] == old[name].numel()
    assert "  taken     encoder.task in its first 3 rows" in str(found).splitlines()
    assert found.left_out == {}


def test_a_sparse_table_is_widened_too():
    source, into = (model(tasks=tasks, table=SparseTable(resize=True)) for tasks in (3, 5))
    rows = torch.arange(48.0).view(3, 16)
    source.recursion.encoder.task_table.rows.copy_(rows)
    found = take_weights(into, checkpoint(source), widen=["encoder.task_table"])
    assert torch.equal(into.recursion.encoder.task_table.rows, torch.cat([rows, torch.zeros(2, 16)]))
    assert found.means == {}


@pytest.mark.parametrize(
    ("there", "here", "part"),
    [
        ({"vocab": 8}, {}, "encoder.token"),
        ({"width": 8}, {}, "encoder.token"),
        (
            {"cell": MixerCell},
            {"cell": MixerCell, "tokens": 30},
            f"{BLOCK}.positions.gate_up.weight",
        ),
        ({"multiple": 8}, {"multiple": 32}, f"{BLOCK}.feedforward.gate_up.weight"),
    ],
)
def test_what_cannot_be_widened_is_refused_before_anything_is_taken(there, here, part):
    """Fails when rows are lost, or a block of a matrix without rows that mean something is copied."""
    into, source = model(**here), model(seed=1, **there)
    before = checkpoint(into)["state_dict"]
    message = f'{part} is .* there and .* here, and only rows can be added, .* "!{part}" into weights_widen'
    with pytest.raises(CheckpointMismatch, match=message):
        take_weights(into, checkpoint(source), widen=["*"])
    assert all(torch.equal(value, before[name]) for name, value in into.state_dict().items())


def test_frozen_weights_are_listed_with_whether_they_were_taken():
    into = module(optimizer_groups=[{"parts": ["decoder", "refiner"], "frozen": True}])
    lines = str(take_weights(into, checkpoint(module()), parts=["refiner", "encoder"])).splitlines()
    assert lines[-2:] == [
        "  frozen    refiner.latent (4 weights)",
        "  frozen    decoder.head.weight as it was drawn",
    ]


def test_another_frozen_model_is_told():
    """Fails if weights that learnt to read one frozen model pass in silence for such as read another."""
    there, here = (standing(symbols) for symbols in (None, [5, 4, 3, 2, 1, 0]))
    content = checkpoint(there, recurlight={"backbone": identity_of(there.recursion.backbone)})
    assert take_weights(standing(None), content).backbone == ""
    found = take_weights(here, content)
    assert len(found.taken) == len(here.state_dict())
    told = "the checkpoint stands on the backbone tied (11111111) with other symbols than this model"
    assert str(found).endswith(f"\n  backbone  {told}")
    none = take_weights(module(refiner=SingleRefiner(causal())).float(), content)
    assert none.backbone.endswith("on the backbone tied (11111111) and this model on none")


def standing(symbols):
    """A model on a frozen one."""
    return reasoner("", backbone=Tied(symbols=symbols))


def test_nothing_that_fits_is_an_error_and_changes_nothing():
    """Fails when a bias of one number counts, or is loaded before the refusal."""
    into = model()
    before = checkpoint(into)["state_dict"]
    halting = {f"{PREFIX}halting.head.bias": torch.ones(1), "a": torch.ones(2, 2)}
    for weights in (halting, {}, {"a": torch.ones(2, 2)}):
        with pytest.raises(
            CheckpointMismatch, match="nothing of it fits the model by name and shape: recursion"
        ):
            take_weights(into, {"state_dict": weights})
    assert all(torch.equal(value, before[name]) for name, value in into.state_dict().items())


def test_averaged_weights_are_taken_and_the_step_is_told(tmp_path):
    """Fails when the plain weights are taken, or the file's checksum is not read."""
    averaged, plain, into = model(seed=2), model(seed=1), model()
    content = checkpoint(
        averaged, averaging_state={}, current_model_state=plain.state_dict(), global_step=1234
    )
    files.write(content, tmp_path / "last.ckpt")
    found = warm_start(into, tmp_path / "last.ckpt")
    assert torch.equal(into.recursion.encoder.token, averaged.recursion.encoder.token)
    count, numbers = len(found.taken), sum(weight.numel() for weight in into.state_dict().values())
    assert (
        str(found).splitlines()[0] == f"{count} weights of {numbers:,} numbers taken, averaged, of step 1,234"
    )
    assert "  taken     refiner.latent (4 weights)" in str(found).splitlines()


def test_any_module_may_take_weights():
    """Fails when the driver, which is no LightningModule, cannot be given the weights of another."""
    into, other = trm(seed=0), trm(seed=1)
    assert not take_weights(into, checkpoint(other)).left_out
    assert all(map(torch.equal, into.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(
    ("content", "error", "part"),
    [
        (None, CheckpointError, "there is no such file"),
        ({"weights": torch.ones(2, 2)}, CheckpointError, "it has no 'state_dict'"),
        ([torch.ones(2, 2)], CheckpointError, "it has no 'state_dict'"),
        ({"state_dict": {}, "object": nn.Linear(1, 1)}, UntrustedCode, "Python objects"),
        ({"state_dict": {}, "recurlight": {"format": 99}}, CheckpointMismatch, "in format 99"),
        ({"state_dict": {"model.inner.a": torch.ones(2, 2)}}, CheckpointMismatch, "nothing of it fits"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*checksum")
def test_files_that_are_no_start_are_named(tmp_path, content, error, part):
    """Fails when code in a file is run, or the message does not say which file."""
    path = tmp_path / "other.ckpt"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(error, match=part) as caught:
        warm_start(model(), path)
    assert str(caught.value).startswith(str(path))


def test_a_warm_start_on_other_held_out_puzzles_is_warned_of(tmp_path, monkeypatch):
    """Fails if a new run is measured, without a word, on puzzles that its first weights were trained on."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    settings = {"size": 4, "num_train": 8, "num_val": 4, "num_test": 4, "batch_size": 4, "epoch_samples": 4}
    run = trainer(max_steps=1)
    run.fit(module(vocab_size=6), datamodule=SudokuData(**settings))
    run.save_checkpoint(tmp_path / "x.ckpt")
    other = module(vocab_size=6)
    warm_start(other, tmp_path / "x.ckpt")
    with pytest.warns(UserWarning, match="was trained on SudokuData with seed=0, and these have seed=3"):
        trainer(max_steps=1).fit(other, datamodule=SudokuData(**settings, seed=3))
