"""Whether the tasks and symbols that a model learnt are those of the data that it is given."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import pytest
import torch
from data.arc.made import EVALUATION, TRAINING, small, write_kaggle
from helpers import mixer, trainer

from recurlight.cells import ConvCell
from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import TokenEncoder
from recurlight.data import ArcData, ParityData, SudokuData, TableData
from recurlight.errors import CheckpointMismatch
from recurlight.halting import FixedHalting
from recurlight.refiners import SingleRefiner
from recurlight.training.module import RecursiveModule
from recurlight.training.naming import digests
from recurlight.training.warm_start import warm_start
from recurlight.truncation import EveryUpdate

pytestmark = pytest.mark.filterwarnings("ignore")


def table(path, symbols="ab", tasks=("one", "two"), **settings) -> TableData:
    """Twelve questions of four symbols, their answers turned around, in turn of each task."""
    first, second = symbols
    words = [f"{number:04b}".replace("0", first).replace("1", second) for number in range(12)]
    rows = [f"{word},{word[::-1]},{tasks[place % 2]}" for place, word in enumerate(words)]
    path.write_text("\n".join(["question,answer,task", *rows]))
    return TableData(str(path), **({"num_val": 2, "num_test": 2, "batch_size": 4} | settings))


def made(prefix=1, resize=None) -> RecursiveModule:
    encoder = TokenEncoder(task_table=None if resize is None else SparseTable(resize=resize))
    parts = (SingleRefiner(mixer()), EveryUpdate(), FixedHalting())
    return RecursiveModule(
        3, 4, *parts, num_tasks=2, encoder=encoder, width=8, prefix=prefix, cycles=1, max_segments=1
    )


def run(**settings):
    return trainer(max_steps=2, **settings)


def fitted(data, path=None, **settings):
    """Return a model trained on data, and its checkpoint's path."""
    model, loop = made(**settings), run()
    loop.fit(model, data)
    if path is not None:
        loop.save_checkpoint(path)
    return model


def rows_seen(model):
    """Return the list to which every use of the encoder adds the rows of then."""
    encoder, seen = model.recursion.encoder, []
    encoder.register_forward_hook(lambda *_: seen.append(encoder.task_table.rows.clone()))
    return seen


@contextmanager
def warned(part, kind="and these have"):
    """Require one warning of a kind with a text in it, on none for None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    found = [str(one.message) for one in caught if kind in str(one.message)]
    assert len(found) == (part is not None)
    assert (part or "") in "".join(found)


OTHERS = {
    "other tasks": ({"tasks": ("one", "three")}, "tasks"),
    "other symbols": ({"symbols": "ac"}, "symbols"),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_a_model_is_not_evaluated_under_other_names(tmp_path, case, stage):
    """Fails if vectors of other tasks, or of other symbols, are scored because there are as many."""
    other, kind = OTHERS[case]
    data, apart = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", **other)
    path = tmp_path / "x.ckpt"
    model = fitted(data, path)
    message = f"the model was trained on other {kind} than these data have"
    loaded = RecursiveModule.load_from_checkpoint(path)
    for one, settings in ((model, {}), (loaded, {}), (made(), {"ckpt_path": path, "weights_only": True})):
        with pytest.raises(CheckpointMismatch, match=message):
            getattr(run(), stage)(one, apart, **settings)
        getattr(run(), stage)(one, data, **settings)


def test_training_is_not_resumed_under_other_names_but_may_begin_anew(tmp_path):
    """Fails if a resumed run goes on with other tasks, or weights cannot be a start on other data."""
    path = tmp_path / "x.ckpt"
    model = fitted(table(tmp_path / "a.csv"), path)
    apart = table(tmp_path / "b.csv", tasks=("one", "three"))
    with pytest.raises(CheckpointMismatch, match="trained on other tasks"):
        trainer(max_steps=3).fit(made(), apart, ckpt_path=path, weights_only=True)
    run().fit(model, apart)
    run().test(model, apart, verbose=False)


@pytest.mark.parametrize("begins", ["warm start", "loaded"])
@pytest.mark.parametrize(
    ("resize", "other", "part"),
    [
        (False, {}, None),
        (False, {"tasks": ("one", "three")}, "on other tasks than"),
        (None, {"tasks": ("one", "three")}, "on other tasks than"),
        (True, {"tasks": ("one", "three")}, None),
        (True, {"symbols": "ac"}, "on other symbols than"),
    ],
)
def test_a_new_training_on_as_many_others_says_so_or_begins_at_the_mean(
    tmp_path, begins, resize, other, part
):
    """Fails if vectors or embeddings of others are a start for these without a word."""
    path = tmp_path / "x.ckpt"
    source = fitted(table(tmp_path / "a.csv"), path, resize=resize)
    model = made(resize=resize) if begins == "warm start" else RecursiveModule.load_from_checkpoint(path)
    if begins == "warm start":
        warm_start(model, path)
    seen = None if resize is None else rows_seen(model)
    with warned(part, "training begins with what was learnt of the others"):
        trainer(max_steps=1).fit(model, table(tmp_path / "b.csv", **other))
    if seen:
        rows = source.recursion.encoder.task_table.rows
        expected = rows.mean(0).expand(2, -1) if resize and "tasks" in other else rows
        torch.testing.assert_close(seen[-1], expected)
    with warned(None, "training begins with"):
        trainer(max_steps=1).fit(model, table(tmp_path / "b.csv", **other))


def test_weights_that_begin_anew_are_of_no_other_data(tmp_path):
    """Fails if names are compared of embeddings that were not taken."""
    path = tmp_path / "x.ckpt"
    fitted(table(tmp_path / "a.csv"), path)
    parts = (SingleRefiner(mixer()), EveryUpdate(), FixedHalting())
    model = RecursiveModule(4, 4, *parts, num_tasks=3, width=8, prefix=1, cycles=1, max_segments=1)
    warm_start(model, path)
    with warned(None, "training begins with"):
        run().fit(model, table(tmp_path / "b.csv", symbols="cd", tasks=("one", "three"), alphabet="cde"))


def test_a_model_that_tells_no_tasks_apart_takes_any_of_them(tmp_path):
    """Fails if names that no weight depends on are held against the data."""
    model = fitted(table(tmp_path / "a.csv"), prefix=0)
    run().test(model, table(tmp_path / "b.csv", tasks=("one", "three")), verbose=False)
    with pytest.raises(CheckpointMismatch, match="other symbols"):
        run().test(model, table(tmp_path / "c.csv", symbols="xy"), verbose=False)


def test_a_table_that_may_forget_begins_as_many_other_tasks_at_the_mean(tmp_path):
    """Fails if rows of other tasks are kept because their number is the same."""
    data, apart = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", tasks=("one", "three"))
    path = tmp_path / "x.ckpt"
    model = fitted(data, path, resize=True)
    rows = model.recursion.encoder.task_table.rows.clone()
    assert not torch.equal(rows[0], rows[1])
    for given, expected in ((data, rows), (apart, rows.mean(0).expand(2, -1))):
        resumed = made(resize=True)
        seen = rows_seen(resumed)
        trainer(max_steps=3).fit(resumed, given, ckpt_path=path, weights_only=True)
        torch.testing.assert_close(seen[-1], expected)
    with pytest.raises(CheckpointMismatch, match="or set resize of the encoder's task_table to true"):
        run().test(fitted(data, resize=False), apart, verbose=False)


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_an_evaluation_of_other_tasks_takes_the_mean_and_keeps_the_vectors(tmp_path, stage):
    """Fails if evaluating other tasks destroys vectors or names, or asks with those of other tasks."""
    data, apart = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", tasks=("one", "three"))
    model = fitted(data, resize=True)
    encoder, seen = model.recursion.encoder, rows_seen(model)
    rows, names = encoder.task_table.rows.clone(), dict(model.names)
    for asked, expected in ((apart, rows.mean(0).expand(2, -1)), (data, rows)):
        getattr(run(), stage)(model, asked)
        assert seen
        for found in seen:
            torch.testing.assert_close(found, expected)
        seen.clear()
        assert torch.equal(encoder.task_table.rows, rows)
        assert model.names == names


def test_a_model_without_training_may_be_evaluated_on_anything(tmp_path):
    """Fails if an evaluation decides what numbers stand for."""
    model = made()
    run().validate(model, table(tmp_path / "a.csv"), verbose=False)
    run().test(model, table(tmp_path / "b.csv", symbols="xy", tasks=("one", "three")), verbose=False)


def test_a_checkpoint_that_does_not_tell_is_taken_at_its_word(tmp_path):
    """Fails if checkpoints of before are refused."""
    path = tmp_path / "x.ckpt"
    fitted(table(tmp_path / "a.csv"), path)
    content = torch.load(path, weights_only=True)
    assert content["recurlight"].pop("names").keys() == {"tasks", "symbols"}
    torch.save(content, path)
    apart = table(tmp_path / "b.csv", tasks=("one", "three"))
    run().test(RecursiveModule.load_from_checkpoint(path), apart, verbose=False)


def test_held_out_rows_that_may_have_been_trained_on_are_warned_of(tmp_path):
    """Fails if data divided by another seed, or judged otherwise, are scored without a word."""
    usual, path = {"seed": 1}, tmp_path / "x.ckpt"
    data = table(tmp_path / "a.csv", **usual)
    model = fitted(data, path)
    content = torch.load(path, weights_only=True)
    del content["datamodule_hyper_parameters"]["end_mark"]
    torch.save(content, tmp_path / "before.ckpt")
    cases = [
        ("x.ckpt", {}, None),
        ("x.ckpt", {"batch_size": 2, "num_workers": 0}, None),
        ("x.ckpt", {"seed": 0}, "with seed=1, and these have seed=0"),
        ("x.ckpt", {"seed": 0, "num_test": 3}, "with seed=1, num_test=2, and these have seed=0, num_test=3"),
        ("before.ckpt", {"end_mark": False}, None),
        ("before.ckpt", {}, "with end_mark=False, and these have end_mark=True"),
    ]
    for name, settings, part in cases:
        asked = table(tmp_path / "a.csv", **(usual | settings))
        loaded = RecursiveModule.load_from_checkpoint(tmp_path / name)
        with warned(part):
            run().test(loaded, asked, verbose=False)
        if part is None:
            continue
        run().fit(loaded, asked)  # a new training has its own
        with warned(None):
            run().test(loaded, asked, verbose=False)
    other = table(tmp_path / "a.csv", seed=0)
    with warned("seed=1"):
        run().validate(model, other, verbose=False)


@pytest.mark.parametrize(
    ("lengths", "part"),
    [([6], None), ([6, 9, 12], None), ([3], None), ([4, 6], "eval_lengths=[6], and these")],
)
def test_a_length_that_was_trained_on_whole_is_warned_of(lengths, part, tmp_path):
    """Fails if a model is asked the questions that it learnt, or may not be asked for longer ones."""
    settings = {"length": 6, "min_length": 4, "num_train": 40, "num_val": 2, "num_test": 2, "batch_size": 4}
    data, path = ParityData(eval_lengths=[6], **settings), tmp_path / "x.ckpt"
    parts = {"refiner": SingleRefiner(ConvCell(1)), "truncation": EveryUpdate(), "halting": FixedHalting()}
    loop = run()
    loop.fit(RecursiveModule.for_data(data, **parts, width=8, max_segments=1), data)
    loop.save_checkpoint(path)
    asked = ParityData(eval_lengths=lengths, **settings)
    canvas = {"seq_len": asked.seq_len, "grid_shape": asked.grid_shape}
    with warned(part):
        run().test(RecursiveModule.load_from_checkpoint(path, **canvas), asked, verbose=False)


def test_parts_with_files_of_their_own_may_have_another_seed(tmp_path):
    """Fails if a seed that divides nothing is held against the data."""
    for part, shift in (("train", 0), ("val", 4), ("test", 8)):
        words = [f"{number:04b}".replace("0", "a").replace("1", "b") for number in range(shift, shift + 4)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["question,answer", *(f"{w},{w}" for w in words)]))
    model = fitted(TableData(str(tmp_path), seed=1, batch_size=4), prefix=0)
    with warned(None):
        run().test(model, TableData(str(tmp_path), seed=0, batch_size=4), verbose=False)


def test_a_model_evaluated_on_other_data_still_tells_those_of_its_training(tmp_path):
    """Fails if a checkpoint that is loaded, tested and saved names the data of the test."""
    path, again = tmp_path / "x.ckpt", tmp_path / "y.ckpt"
    fitted(table(tmp_path / "a.csv", seed=1), path)
    loop = run()
    loop.test(RecursiveModule.load_from_checkpoint(path), table(tmp_path / "a.csv", seed=0), verbose=False)
    loop.save_checkpoint(again)
    assert torch.load(again, weights_only=True)["datamodule_hyper_parameters"]["seed"] == 1


def test_arc_is_named_by_ids_order_variants_and_seed(tmp_path):
    """Fails if one of them does not count, or what changes no vector does."""

    def named(folder="a", **settings):
        usual = {"source": "json", "augmentations": 2, "val_augmentations": 0, "canvas": 6}
        return digests(ArcData(path=str(tmp_path / folder), **(usual | settings)))

    small(tmp_path / "a")
    renamed = {"zz" if name == "cc" else name: one for name, one in EVALUATION.items()}
    write_kaggle(write_kaggle(tmp_path / "b", "training", TRAINING), "evaluation", renamed)
    assert named() == named(translate=False, batch_size=3) == named(canvas=8)
    others = [named("b"), named(seed=1), named(augmentations=3), named(max_tasks=1)]
    others.append(named(train_sets=("evaluation",), eval_set="training"))
    assert all(one["tasks"] != named()["tasks"] for one in others)
    assert named(augmentations=0, seed=1) == named(augmentations=0)
    assert named(held_out=True) == digests(None) == {}


def test_digits_need_no_names():
    """Fails if a hash of nothing is kept."""
    assert digests(SudokuData(size=4)) == {}
