# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`--weights`: a new run that begins with the weights of a checkpoint, and with nothing else of it."""

import pytest
import torch

from recurlight import RecursiveModule
from recurlight.__main__ import main
from recurlight.checkpoints.contents import FORMAT, STAMP

from .fixtures import built, cache, failure, folder, printed, trained

STILL = ["--model.optimizer.lr", "0", "--model.optimizer.weight_decay", "0"]
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
LAST = "runs/{}/version_0/checkpoints/last.ckpt"


def loaded(path):
    return torch.load(path, weights_only=True)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def edited(trained, change, path="edited.ckpt"):
    content = loaded(trained)
    change(content)
    torch.save(content, path)
    return path


def test_a_run_begins_with_the_averaged_weights_and_its_own_settings(trained, folder, capsys):
    """Fails when steps, optimizer, batch size or the plain weights come along."""
    other = ["--data.batch_size", "2", "--model.optimizer", "SGD", "--model.optimizer.lr", "0"]
    assert main(["fit", "--config", "tiny", "--weights", trained, "--trainer.max_steps", "3", *other]) == 0
    assert "averaged, of step 2\n" in capsys.readouterr().out
    made, source = loaded(LAST.format("tiny")), loaded(trained)
    assert not equal(source["state_dict"], source["current_model_state"])
    assert equal(made["state_dict"], source["state_dict"])
    assert made["global_step"] == 3
    assert made["optimizer_states"][0]["param_groups"][0]["lr"] == 0
    assert made["hyper_parameters"]["optimizer"]["class_path"] == "torch.optim.SGD"


def test_without_a_recipe_the_model_and_the_data_are_the_checkpoint_s(trained, folder, capsys):
    """Fails when the checkpoint is no recipe, or wins over one."""
    config = printed(capsys, "fit", "--weights", trained)
    assert (config["model"]["width"], config["data"]["init_args"]["num_train"]) == (8, 8)
    assert config["model"]["optimizer"]["init_args"]["lr"] == 0.01
    (folder / "more.yaml").write_text(
        "data: {class_path: SudokuData, init_args: {size: 4, num_train: 16, num_val: 4, num_test: 4}}"
    )
    config = printed(capsys, "fit", "--weights", trained, "--config", "more.yaml")
    assert (config["model"]["width"], config["data"]["init_args"]["num_train"]) == (8, 16)
    config = printed(capsys, "fit", "--weights", trained, "--config", "tiny")
    assert config["model"]["optimizer"]["init_args"]["lr"] != 0.01
    assert config["weights"] == trained


def test_a_new_run_has_its_own_seed_and_holds_out_what_the_weights_have_not_seen(trained, folder, capsys):
    """Fails when the checkpoint's seed wins over that of the run, or other puzzles are held out."""
    path = edited(trained, lambda content: content["hyper_parameters"].update(seed=7))
    path = edited(path, lambda content: content["datamodule_hyper_parameters"].update(seed=8))
    config = printed(capsys, "fit", "--weights", path, "--seed_everything", "3")
    assert (config["model"].get("seed"), config["data"]["init_args"]["seed"]) == (None, 8)


def test_other_data_take_the_parts_that_fit_and_the_list_says_which(trained, folder, monkeypatch, capsys):
    """Fails when a shape that differs is an error, or what is left out goes unsaid."""
    arguments = ["fit", "--config", "tiny", "--weights", trained, "--data.size", "9"]
    model, source = built(monkeypatch, folder, *arguments).model, loaded(trained)["state_dict"]
    lines = capsys.readouterr().out.splitlines()
    ours = model.state_dict()
    same = {name for name in ours if ours[name].shape == source[name].shape}
    assert "recursion.encoder.token" not in same
    assert "recursion.refiner.latent.blocks.0.channels.down.weight" in same
    for name in ours:
        assert (name in same) == (
            ours[name].shape == source[name].shape and torch.equal(ours[name], source[name])
        )
    assert "  left out  encoder.token is (6, 8) there and (11, 8) here" in lines
    assert "  taken     refiner.latent (4 weights)" in lines
    fresh = built(monkeypatch, folder, "fit", "--config", "tiny", "--data.size", "9").model.state_dict()
    assert torch.equal(ours["recursion.encoder.token"], fresh["recursion.encoder.token"])


def test_flags_choose_the_parts_and_what_may_have_more_rows(trained, folder, monkeypatch, capsys):
    """Fails when a list does not reach the weights, or the list printed tells nothing of it."""
    choice = ["--weights_parts", "[encoder, refiner]", "--weights_widen", "[encoder.token]"]
    frozen = ["--model.optimizer_groups", "[{parts: [encoder], frozen: true}]"]
    arguments = ["fit", "--config", "tiny", "--weights", trained, "--data.digits", "5", *choice, *frozen]
    model, source = built(monkeypatch, folder, *arguments).model, loaded(trained)["state_dict"]
    lines = capsys.readouterr().out.splitlines()
    ours = model.recursion.encoder.token
    assert torch.equal(ours[:6], source["recursion.encoder.token"])
    for line in (
        "  taken     encoder.token in its first 6 rows",
        "  left out  decoder.head.weight was not asked for",
        "  left out  halting.head (2 weights) was not asked for",
        "  frozen    encoder.token",
    ):
        assert line in lines


def test_an_averaging_run_averages_from_there(trained, folder):
    """Fails when the averages begin with the initial weights."""
    steps = ["--trainer.max_steps", "1", *STILL]
    assert main(["fit", "--config", "tiny", "--config", "averaged", "--weights", trained, *steps]) == 0
    assert equal(loaded(LAST.format("tiny"))["state_dict"], loaded(trained)["state_dict"])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["fit", "--ckpt_path", "a.ckpt", "--weights", "b.ckpt"], "goes on with one: drop one of them"),
        (["fit", "--config", "tiny", "--ckpt_path", "auto", "--weights", "b.ckpt"], "drop one of them"),
        (
            ["fit", "--config", "tiny", "--weights_parts", "[encoder]"],
            "--weights_parts chooses among weights of a checkpoint: add --weights FILE",
        ),
        (["test", "--weights", "b.ckpt"], "--weights b.ckpt begins a training: test with --ckpt_path b.ckpt"),
        (["fit", "--config", "tiny", "--weights", "gone.ckpt"], "--weights gone.ckpt: there is no such file"),
        (["fit", "--config", "tiny", "--weights", "best"], "best: there is no such file; name the file of a"),
        (["fit", "--config", "tiny", "--weights", "recipes"], "--weights recipes: this is a folder"),
        (
            ["fit", "--config", "tiny", "--weights", "recipes/tiny.yaml"],
            "--weights recipes/tiny.yaml: damaged, or no checkpoint",
        ),
    ],
)
def test_what_is_no_start_is_refused(folder, capsys, arguments, part):
    assert part in failure(capsys, *arguments)


def test_a_checkpoint_of_which_nothing_fits_is_refused(trained, folder, capsys):
    """Fails when the halting head's bias of one number counts as a start."""
    other = ["--model.width", "16", "--data.size", "9"]
    text = failure(capsys, "fit", "--config", "tiny", "--weights", trained, *other)
    assert text.startswith(f"--weights {trained}: nothing of it fits the model by name and shape: recursion.")
    assert "(6, 8) there and (11, 16) here" in text


def test_damage_and_newer_formats_are_noticed(trained, folder, capsys):
    """Fails when the file is trusted because only its weights are wanted."""
    newer = edited(trained, lambda content: content[STAMP].update(format=FORMAT + 1, recurlight="7.8.9"))
    for config in ([], ["--config", "tiny"]):
        text = failure(capsys, "fit", *config, "--weights", newer)
        assert text.startswith("--weights edited.ckpt: the checkpoint was written by recurlight 7.8.9")
    content = bytearray((folder / trained).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "damaged.ckpt").write_bytes(content)
    text = failure(capsys, "fit", "--config", "tiny", "--weights", "damaged.ckpt")
    assert "--weights damaged.ckpt: damaged" in text


def test_what_a_checkpoint_names_is_imported_only_where_its_model_is_wanted_and_trusted(
    trained, folder, capsys
):
    """Fails when a stranger's class path is trusted, or stands in the way of the weights alone."""
    own = {"class_path": "fresh_stranger.Own"}
    path = edited(trained, lambda content: content["hyper_parameters"].update(halting=own))
    assert "fresh_stranger" in failure(capsys, "fit", "--weights", path)
    assert main(["fit", "--config", "tiny", "--weights", path, "--trainer.max_steps", "1"]) == 0


def test_another_class_of_model_lends_its_weights_to_a_recipe_only(trained, folder, capsys):
    """Fails when `RecursiveModule` silently takes the place of the class that the checkpoint is of."""
    path = edited(trained, lambda content: content[STAMP].update(model="mine.Own"))
    assert "model.class_path: there is no module 'mine'" in failure(capsys, "fit", "--weights", path)
    assert main(["fit", "--config", "tiny", "--weights", path, "--trainer.max_steps", "1"]) == 0
