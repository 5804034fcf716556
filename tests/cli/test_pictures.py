# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Samples in the terminal and as pictures, and moving to another size, through the command line."""

import json
import sys

import pytest
import yaml

from recurlight.__main__ import main

from .fixtures import TINY, cache, failure, folder, trained

GRID = {
    "class_path": "TransformerCell",
    "init_args": {"layers": 1, "heads": 2, "rotary_axes": 2, "multiple": 8},
}


def test_predict_shows_the_first_puzzle_as_text(trained, folder, capsys):
    """Fails if nothing is shown, or what is shown is not what is written."""
    capsys.readouterr()
    assert main(["predict", "--ckpt_path", trained]) == 0
    out = capsys.readouterr().out
    record = json.loads((folder / "predictions.jsonl").read_text().splitlines()[0])
    wrong = sum(one != other for one, other in zip(record["prediction"], record["answer"], strict=True))
    assert f"prediction, {wrong} wrong" in out
    lines = out[out.index("question") :].splitlines()
    digits = [line.split()[0] for line in lines if line[:1] in (".", "1", "2", "3", "4")][:4]
    assert digits == [".1234"[record["question"][row * 4] - 1] for row in range(4)]
    assert out.count("question") == 1


def test_predict_shows_as_many_as_asked_for(trained, capsys):
    """Fails if `show` is ignored, or other batches are shown too."""
    for show, count in (("0", 0), ("3", 3)):
        capsys.readouterr()
        arguments = ["--trainer.callbacks+=PredictionWriter", f"--trainer.callbacks.show={show}"]
        arguments.append(f"--trainer.callbacks.path={show}.jsonl")
        assert main(["predict", "--ckpt_path", trained, *arguments, "--data.num_test=4"]) == 0
        assert capsys.readouterr().out.count("question") == count


def test_pictures_are_one_flag(folder):
    """Fails if the callback cannot be named by itself beside those of a recipe, or files lie elsewhere."""
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    arguments = ["--config", "tiny", "--config", "averaged", "--trainer.callbacks+=SamplePictures"]
    assert main(["fit", *arguments]) == 0
    run = folder / "runs/tiny/version_0"
    assert [path.name for path in (run / "pictures").iterdir()] == ["val_000002.png"]
    kinds = [
        each["class_path"]
        for each in yaml.safe_load((run / "config.yaml").read_text())["trainer"]["callbacks"]
    ]
    assert [kind.rsplit(".")[-1] for kind in kinds] == ["EMAWeightAveraging", "SamplePictures"]


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch, capsys):
    """Fails if a missing extra ends in a traceback."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = failure(capsys, "fit", "--config", "tiny", "--trainer.callbacks+=SamplePictures")
    assert message == "SamplePictures needs matplotlib: pip install 'recurlight[viz]'"


@pytest.fixture(scope="module")
def grown(tmp_path_factory, cache):
    """A checkpoint trained on 4 x 4 with the digits of 6 x 6 and positions on a grid."""
    folder = tmp_path_factory.mktemp("grown")
    config = yaml.safe_load(TINY)
    config["model"]["refiner"]["init_args"]["latent"] = GRID
    config["model"]["prefix"] = 1
    config["data"]["init_args"]["digits"] = 6
    (folder / "grid.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(cache))
        patch.chdir(folder)
        assert main(["fit", "--config", "grid.yaml"]) == 0
    return str(folder / "runs/grid/version_0/checkpoints/last.ckpt")


def test_a_checkpoint_is_tested_on_another_size(grown, capsys):
    """Fails if positions or vocabulary are bound to the size of training."""
    capsys.readouterr()
    assert main(["test", "--ckpt_path", grown, "--data.size", "6"]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out


def test_training_at_another_size_begins_with_the_weights(grown, capsys):
    """Fails if weights cannot be trained at another size, or a run goes on there."""
    settings = ["--data.size", "6", "--trainer.max_steps", "3", "--trainer.accelerator=cpu"]
    quiet = "--trainer.enable_progress_bar=false"
    message = failure(capsys, "fit", "--ckpt_path", grown, *settings, quiet)
    assert "in this run: resume with the model, data and batch size of the run" in message
    assert main(["fit", "--weights", grown, *settings, quiet]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out


def test_what_cannot_move_says_why(grown, trained, capsys):
    """Fails if a mixer's or a vocabulary's refusal does not name the size of the data."""
    message = failure(capsys, "test", "--ckpt_path", grown, "--data.size", "6", "--data.digits", "9")
    assert "model.vocab_size is 8 there and 11 here" in message
    message = failure(capsys, "test", "--ckpt_path", trained, "--data.size", "6")
    assert "model.seq_len is 16 there and 36 here" in message
    assert "positions.gate_up.weight is (" in message
