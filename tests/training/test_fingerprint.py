"""Every figure says what it was measured on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from frozen import Tied
from helpers import causal, mixer, opinionated, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

import recurlight
from recurlight import AsTrained, HeadDecoder, HiddenEncoder, SingleRefiner
from recurlight.data import SudokuData
from recurlight.data.puzzles import Puzzles
from recurlight.halting import CorrectnessHalting
from recurlight.refiners import TwoLevelRefiner
from recurlight.training.fingerprint import Fingerprint, data_digest, fingerprint
from recurlight.training.module import RecursiveModule
from recurlight.truncation import LastCycles


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def data(**settings) -> SudokuData:
    return SudokuData(size=4, num_train=8, num_val=5, num_test=6, batch_size=4, epoch_samples=12, **settings)


def model(**settings) -> RecursiveModule:
    sizes = {"vocab_size": 6, "seq_len": 16, "width": 16, "cycles": 2, "max_segments": 3}
    parts = {"truncation": LastCycles(1), "halting": CorrectnessHalting()}
    parts["refiner"] = settings.pop("refiner", None) or TwoLevelRefiner(mixer(), latent_steps=2)
    return RecursiveModule(**parts, **sizes, **settings)


def mark(made: RecursiveModule) -> Fingerprint:
    settings = {"cycles": made.eval_cycles or made.recursion.cycles, "adaptive": bool(made.eval_adaptive)}
    settings |= {"trained": made.run.ended_in(made.trainer), "supervision": made.supervision}
    settings |= {"eval_seed": made.eval_seed, "model": "recurlight.RecursiveModule"}
    settings |= {"curricula": made.curricula}
    return fingerprint(made.trainer, made.recursion, made.measured, made.loaded, **settings)


def puzzles(rows=4) -> Puzzles:
    tokens = np.arange(rows * 3).reshape(rows, 3)
    return Puzzles(tokens, tokens + 1, np.zeros(rows, dtype=np.uint8))


def test_the_hash_is_of_the_tokens_and_not_of_their_storage(monkeypatch):
    """Fails if the bytes are hashed as they lie, or in chunks that change the result."""
    whole = data_digest(puzzles())
    assert data_digest(Puzzles(*(field.astype(np.int16) for field in puzzles()))) == whole
    assert data_digest(Puzzles(*(np.asfortranarray(field) for field in puzzles()))) == whole
    monkeypatch.setattr("recurlight.training.fingerprint._ROWS", 3)
    assert data_digest(puzzles()) == whole


@pytest.mark.parametrize("field", [0, 1, 2])
def test_the_hash_sees_every_field_the_order_and_the_shape(field):
    """Fails if a field, or the shape, is left out of the hash."""
    changed = [part.copy() for part in puzzles()]
    changed[field].reshape(-1)[-1] += 1
    others = [Puzzles(*changed), puzzles().rows(np.array([1, 0, 2, 3])), puzzles(3)]
    others.append(puzzles()._replace(inputs=puzzles().inputs.reshape(2, 6)))
    assert len({data_digest(part) for part in [puzzles(), *others]}) == 5


def test_what_an_evaluation_was():
    """Fails if a number is taken from training: the cycles, the segments, the split."""
    made, source = model(eval_cycles=5, eval_segments=4, seed=3), data(seed=7)
    trainer().test(made, source, verbose=False)
    found = mark(made)
    assert (found.split, found.size, found.puzzles) == ("test", 6, 6)
    assert found.data == data_digest(source.splits.test)
    assert found.seeds == {"model": 3, "data": 7}
    assert (found.segments, found.cycles, found.schedule, found.updates) == (4, 5, 3, 60)
    assert (found.adaptive, found.precision) == (False, "32-true")
    assert (found.recurlight, found.torch) == (recurlight.__version__, torch.__version__)
    assert (found.weights, found.step, found.checkpoint) == ("given", None, None)


def test_another_seed_of_evaluation_is_told():
    """Fails if figures of other draws pass for the same measurement, or equal seeds for another."""
    for seed, told in ((None, {"model": 3}), (3, {"model": 3}), (5, {"model": 3, "eval": 5})):
        made = model(seed=3, eval_seed=seed)
        trainer().validate(made, data(seed=7), verbose=False)
        assert mark(made).seeds == told | {"data": 7}
        assert ("seeds: model 3, eval 5, data 7;" in str(mark(made))) == (seed == 5)


def test_updates_of_adaptive_evaluation_are_those_that_were_run():
    """Fails if the cap is reported in place of the mean."""
    made = model(eval_adaptive=True, eval_segments=9, eval_halting=AsTrained())
    opinionated(made.recursion)
    (figures,) = trainer().validate(made, data(), verbose=False)
    found = mark(made)
    assert found.adaptive
    assert 1 <= found.segments < 9
    assert found.segments == pytest.approx(figures["val/segments"])
    assert found.updates == pytest.approx(found.segments * 2 * 3)


def test_a_part_of_a_split_is_called_so():
    """Fails if the size of the split is reported in place of what was counted."""
    made = model()
    trainer(limit_val_batches=1).validate(made, data(), verbose=False)
    assert (mark(made).puzzles, mark(made).size) == (4, 5)
    assert str(mark(made)).startswith("val: 4 of 5 puzzles, data ")


@pytest.mark.parametrize(("averaged", "kind"), [(True, "averaged"), (False, "raw")])
def test_weights_are_known_after_training_and_from_a_checkpoint(tmp_path, averaged, kind):
    """Fails if averaged weights are not told apart, or if the step of another run is reported."""
    made, averages = model(), [EMAWeightAveraging(decay=0.5, use_buffers=False)] if averaged else []
    saver = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    run = trainer(max_steps=3, callbacks=[*averages, saver], enable_checkpointing=True)
    run.fit(made, data())
    file = str(tmp_path / "last.ckpt")
    assert (mark(made).split, mark(made).weights, mark(made).step) == ("val", kind, 3)
    assert mark(made).checkpoint == file
    run.validate(made, datamodule=data(), verbose=False)
    assert (mark(made).weights, mark(made).step, mark(made).checkpoint) == (kind, 3, file)
    again = model(seed=1)
    trainer().test(again, data(), ckpt_path=file, verbose=False, weights_only=True)
    assert (mark(again).weights, mark(again).step, mark(again).checkpoint) == (kind, 3, file)


def test_averaged_weights_that_are_saved_after_an_evaluation_are_called_so(tmp_path):
    """Fails if the evaluation, which takes the average away, takes its name away too."""
    made, run = model(), trainer(max_steps=3, callbacks=[EMAWeightAveraging(decay=0.5, use_buffers=False)])
    run.fit(made, data())
    run.validate(made, datamodule=data(), verbose=False)
    run.save_checkpoint(tmp_path / "x.ckpt")
    trainer().test(made, data(), ckpt_path=tmp_path / "x.ckpt", verbose=False, weights_only=True)
    assert (mark(made).weights, mark(made).step) == ("averaged", 3)
    trainer(max_steps=4, callbacks=[EMAWeightAveraging(use_buffers=False)]).fit(
        model(), data(), ckpt_path=tmp_path / "x.ckpt", weights_only=True
    )


def test_a_trainer_s_checkpoint_is_not_named_for_weights_that_it_did_not_train(tmp_path):
    """Fails if the trainer's own steps are believed: the weights may come from elsewhere."""
    made, saver = model(), ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    run = trainer(max_steps=3, callbacks=[saver], enable_checkpointing=True)
    run.fit(made, data())
    best = RecursiveModule.load_from_checkpoint(tmp_path / "last.ckpt")
    run.test(best, datamodule=data(), verbose=False)
    assert (mark(best).weights, mark(best).step, mark(best).checkpoint) == ("given", None, None)
    trainer(max_steps=3).fit(made, data())
    run.test(made, datamodule=data(), verbose=False)
    assert (mark(made).weights, mark(made).step, mark(made).checkpoint) == ("given", None, None)


def test_a_checkpoint_of_earlier_weights_is_not_named(tmp_path):
    """Fails if any checkpoint of the run is named: this one was written a step too early."""
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_last=True)
    made, run = model(), trainer(max_steps=3, callbacks=[saver], enable_checkpointing=True)
    run.fit(made, data())
    assert (tmp_path / "last.ckpt").exists()
    assert (mark(made).step, mark(made).checkpoint) == (3, None)


def test_figures_on_other_frozen_models_are_told_apart():
    """Fails if weights, symbols or what else makes a frozen model another one are left out."""

    class Another(Tied):
        def __init__(self, weights="1", config="2", symbols=None):
            super().__init__(width=16, symbols=symbols)
            self.told = {"sha256": weights * 64, "config.json": config * 64}

        def identity(self):
            return {"path": "anywhere", **self.told}

    found = []
    for backbone in (Another(), Another("3"), Another(config="3"), Another(symbols=[5, 4, 3, 2, 1, 0]), None):
        standing = {"encoder": HiddenEncoder(), "decoder": HeadDecoder(), "backbone": backbone}
        made = model(refiner=SingleRefiner(causal()), **(standing if backbone else {}))
        trainer().validate(made, data(), verbose=False)
        found.append(mark(made))
    assert all(one != other for at, one in enumerate(found) for other in found[:at])
    assert len({*map(str, found)}) == 5
    assert "given weights, backbone 11111111/22222222; seeds" in str(found[0])
    assert "backbone" not in str(found[-1])
    assert "path" not in found[0].backbone


def test_two_short_lines():
    """Fails if a part is left out of the text, or if a line outgrows a terminal."""
    made = Fingerprint(
        *("test", "1f3b5c7d" * 8, 422786, 422786, {"model": 0, "data": 12}, 15.25, 3, 7, 320.25, True),
        *("averaged", 65000, "runs/trm_sudoku_extreme/version_0/checkpoints/last.ckpt"),
        *("bf16-mixed", "0.1.0", "2.14.1"),
    )
    assert str(made).splitlines() == [
        "test: 422,786 puzzles, data 1f3b5c7d; 15.25 segments x 3 cycles x 7 updates = 320.2 each",
        "averaged weights, step 65,000, last.ckpt; seeds: model 0, data 12; "
        "bf16-mixed, recurlight 0.1.0, torch 2.14.1; OneSegment",
    ]
