# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""One seed for a run: it reaches model and data where nothing else gives them one, and stays with the run."""

import pytest
import torch

from recurlight.__main__ import main

from .fixtures import built, cache, failure, folder, printed
from .resumed import differences

LAST = "runs/tiny/version_{}/checkpoints/last.ckpt"


def seeds(monkeypatch, folder, *arguments):
    cli = built(monkeypatch, folder, *arguments)
    return cli.model.recursion.seed, cli.model.run.seed, cli.datamodule.seed


@pytest.mark.parametrize(
    ("arguments", "model", "data"),
    [
        ([], 0, 0),
        (["--seed_everything", "1"], 1, 1),
        (["--config", "one.yaml"], 1, 1),
        (["--config", "one.yaml", "--seed_everything=2"], 2, 2),
        (["--seed_everything", "1", "--data.seed", "0"], 1, 0),
        (["--model.seed", "3", "--config", "one.yaml"], 3, 1),
        (["--config", "own.yaml", "--seed_everything", "1"], 5, 6),
    ],
)
def test_the_seed_of_the_run_is_that_of_model_and_data(monkeypatch, folder, arguments, model, data):
    """Fails if a seed that a file or a flag gives is overruled, or the common one does not arrive."""
    (folder / "one.yaml").write_text("seed_everything: 1\n")
    (folder / "own.yaml").write_text("model: {seed: 5}\ndata: {seed: 6}\n")
    assert seeds(monkeypatch, folder, "fit", "--config", "tiny", *arguments) == (model, model, data)


def test_seeds_differ_and_a_run_keeps_its_own(monkeypatch, folder, capsys):
    """Fails if five seeds give one figure, or if the seed of a checkpoint is forgotten."""
    fit = ["fit", "--config", "tiny", "--config", "averaged", "--trainer.max_epochs", "2"]
    assert main([*fit, "--seed_everything", "1"]) == 0
    assert "seeds: model 1, data 1;" in capsys.readouterr().out
    assert main([*fit, "--seed_everything", "2"]) == 0
    assert main([*fit, "--seed_everything", "1", "--trainer.max_steps", "2"]) == 0
    one, two, begun = (torch.load(LAST.format(run), weights_only=True) for run in range(3))
    assert (one["hyper_parameters"]["seed"], one["datamodule_hyper_parameters"]["seed"]) == (1, 1)
    assert differences(one["state_dict"], two["state_dict"])
    assert begun["global_step"] == 2
    for again in ([], ["--seed_everything", "2"]):
        capsys.readouterr()
        assert main([*fit, *again, "--ckpt_path", LAST.format(2)]) == 0
        assert "seeds: model 1, data 1;" in capsys.readouterr().out
    for run in (3, 4):
        resumed = torch.load(LAST.format(run), weights_only=True)
        assert differences(resumed["state_dict"], one["state_dict"]) == []
        assert differences(resumed["run"], one["run"]) == []
    assert main(["test", "--ckpt_path", LAST.format(0)]) == 0
    assert "seeds: model 1, data 1;" in capsys.readouterr().out


def test_a_seed_out_of_bounds_is_one_line(capsys):
    text = failure(capsys, "fit", "--config", "tiny", "--seed_everything", "-1")
    assert text == "seed_everything: -1 is not in bounds, numpy accepts from 0 to 4294967295"
