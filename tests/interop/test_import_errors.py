# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""What cannot be imported: one line that says what is wrong and what to give instead."""

from __future__ import annotations

import pytest
import torch
import yaml
from cli.fixtures import cache, failure, folder

from .conftest import publish
from .reference import HRM, ROOT, TRM_ATTENTION, TRM_MIXER, random_weights

LAST = f"{ROOT}L_level.layers.1.mlp.down_proj.weight"


def refused(capsys, folder, shape, *flags, family=None, weights=None, config=None):
    """Return the line with which an import fails; nothing must be written."""
    file = publish(folder / "hub", shape, weights=weights, config=config is None)
    if config:
        (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    line = failure(capsys, "import", str(file), "--from", family or shape.family, *map(str, flags))
    assert not list(folder.glob("*.ckpt"))
    return line


def arch(shape, **changes):
    config = shape.config()
    config["arch"] |= changes
    return config


def test_families_are_told_apart(folder, capsys):
    """Fails when a missing H_level is told as missing keys, or TRM takes HRM's L_level alone."""
    text = refused(capsys, folder, HRM, family="trm")
    assert text.endswith("has H_level weights, TRM has none: use --from hrm")
    text = refused(capsys, folder, TRM_ATTENTION, family="hrm")
    assert text.endswith("has no H_level weights, HRM has them: use --from trm")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda w: w.pop(LAST), f"{LAST} is missing: "),
        (lambda w: w.update({ROOT + "extra": torch.zeros(1)}), "model.inner.extra is unknown: "),
        (
            lambda w: w.update({LAST: torch.zeros(64, 512)}),
            f"{LAST} is (64, 512) and should be (64, 256): ",
        ),
        (lambda w: w.pop(ROOT + "H_init"), "H_init is missing"),
        (
            lambda w: w.update({ROOT + "q_head.bias": torch.zeros(3)}),
            "q_head.bias is (3,) and should be (2,)",
        ),
        (
            lambda w: w.pop(ROOT + "embed_tokens.embedding_weight"),
            "embed_tokens.embedding_weight is missing: ",
        ),
        (lambda w: w.update({"step": 3}), "its 'step' is no tensor"),
        (
            lambda w: [w.pop(key) for key in list(w) if "layers.0" in key],
            "L_level.layers.0.mlp.down_proj.weight is missing",
        ),
        (
            lambda w: w.update({key: value[:, :250] for key, value in w.items() if "mlp.down" in key}),
            "no expansion gives SwiGLUs of width and inner width",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, capsys, change, part):
    """Fails when keys are ignored or shapes are not compared."""
    weights = random_weights(TRM_ATTENTION)
    change(weights)
    assert part in refused(capsys, folder, TRM_ATTENTION, "--seq_len", 9, weights=weights)


def test_many_differences_are_counted(folder, capsys):
    """Fails when the list is cut without saying so."""
    weights = {key: value for key, value in random_weights(HRM).items() if "layers.3" not in key}
    weights |= {f"{ROOT}more{index}": torch.zeros(1) for index in range(5)}
    assert " and 3 more: " in refused(capsys, folder, HRM, weights=weights)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"hidden_size": 32}, "arch.hidden_size is 32"),
        ({"L_layers": 3}, "arch.L_layers is 3"),
        ({"mlp_t": True}, "arch.mlp_t is True"),
        ({"puzzle_emb_ndim": 0}, "arch.puzzle_emb_ndim is 0"),
        ({"rms_norm_eps": 1e-6}, "arch.rms_norm_eps is 1e-06"),
        ({"H_cycles": 0}, "arch.H_cycles is 0: give at least 1"),
        ({"H_cycles": 3.5}, "arch.H_cycles is '3.5': give a whole number"),
        ({"H_cycles": "three"}, "arch.H_cycles is 'three': give a whole number"),
        ({"rope_theta": "nan"}, "arch.rope_theta is nan: give at least 1"),
        ({"pos_encodings": "learned"}, "positions are learned, and the file has no model.inner.embed_pos"),
        ({"residual_connections": True}, "arch.residual_connections is unknown here"),
        ({"name": "recursive_reasoning.trm_singlez@TinyRecursiveReasoningModel_ACTV1"}, "which is no TRM"),
        ({"name": "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1"}, "use --from hrm"),
        ({"loss": {"loss_type": "mse"}}, "arch.loss.loss_type is 'mse': give one of stablemax_cross_entropy"),
        ({"H_cycles": None}, "weights do not tell cycles, and all_config.yaml does not say"),
    ],
)
def test_configurations_that_contradict_are_named(folder, capsys, changes, part):
    """Fails when a configuration of other weights, or of another model, is taken."""
    assert part in refused(
        capsys, folder, TRM_ATTENTION, "--seq_len", 9, config=arch(TRM_ATTENTION, **changes)
    )


@pytest.mark.parametrize(
    ("shape", "flags", "part"),
    [
        (TRM_ATTENTION, [], "tell the number of tokens: give --seq_len"),
        (TRM_MIXER, ["--seq_len", 8], "seq_len is 8 by the flag and 9 by the shapes"),
        (TRM_MIXER, ["--data", "recipes/tiny.yaml"], "vocab_size is 7 by the shapes and 6 by the data"),
        (TRM_ATTENTION, ["--seq_len", 9, "--heads", 3], "3 heads do not divide width 64"),
        (TRM_ATTENTION, ["--seq_len", "many"], "--seq_len is 'many': give a whole number"),
        (
            HRM._replace(task_width=100),
            ["--seq_len", 9, "--prefix", 1],
            "a prefix of 1 positions does not fit",
        ),
        (TRM_MIXER, ["--prefix", 25], "or leaves no tokens: give a --prefix from 1"),
        (TRM_ATTENTION, ["--cyles", 3], "'--cyles' is not expected here; did you mean '--cycles'"),
        (TRM_ATTENTION, ["--tasks", "none"], "invalid choice: 'none'"),
        (TRM_ATTENTION, ["--config", "gone.yaml"], "gone.yaml cannot be read"),
        (TRM_ATTENTION, ["--data", "tinny"], "--data tinny is neither a file nor a recipe"),
        (TRM_ATTENTION, ["--weights", "averaged"], "holds no averages"),
        (TRM_ATTENTION, ["--output", "."], ". exists already: name another file with --output"),
        (TRM_ATTENTION, ["--output", "gone/a.ckpt"], "the folder gone does not exist"),
        (TRM_ATTENTION, ["--output", "recipes/tiny.yaml"], "exists already"),
    ],
)
def test_wrong_flags_are_named(folder, capsys, shape, flags, part):
    """Fails when a flag is not checked against the weights."""
    assert part in refused(capsys, folder, shape, *flags)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "there is no such file; did you mean "),
        (b"import os", "no weights, or Python objects beside them"),
        (b"arch:\n  H_cycles: 3", "the file is damaged or was not written by torch.save"),
        (b"PK\x03\x04 nothing of use", "the file is damaged or was not written by torch.save"),
        ([1, 2], "holds a list and no state dict"),
        ({}, "is no state dict"),
        ({"recursion.encoder.token": torch.zeros(1)}, "is recurlight's own checkpoint: use it as it is"),
        ({"model": {"recursion.encoder.token": torch.zeros(1)}}, "is recurlight's own checkpoint"),
        (
            {"model": {"inner.a": torch.zeros(1)}, "best": {"inner.a": torch.zeros(1)}},
            "holds several sets of weights, model, best: save the one",
        ),
        (
            {"model": {"inner.a": torch.zeros(1)}, "ema": {"shadow_params": [torch.zeros(1)]}},
            "holds 'ema' beside its weights, averages without names of weights: add --weights plain",
        ),
        (
            {"inner.a": torch.zeros(1), "module.model.inner.a": torch.zeros(1)},
            "holds model.inner.a twice",
        ),
        ({"a.b": torch.zeros(1)}, "has no model.inner.L_level, it has a.b"),
        ({"model": torch.nn.Linear(1, 1)}, "no weights, or Python objects beside them"),
    ],
)
def test_files_that_are_something_else_are_named(folder, capsys, content, part):
    """Fails when code in a file is run, or an odd file ends in a traceback."""
    (folder / "step_1").touch()
    if isinstance(content, bytes):
        (folder / "step_2").write_bytes(content)
    elif content is not None:
        torch.save(content, folder / "step_2")
    assert part in failure(capsys, "import", "step_2", "--from", "trm")


def test_a_broken_configuration_is_named(folder, capsys):
    """Fails when YAML errors or a missing section end in a traceback."""
    file = publish(folder / "hub", TRM_ATTENTION)
    for text, part in (
        ("a: [", "is not valid YAML"),
        ("[1]", "no section 'arch'"),
        ("arch: 3", "no section"),
        (
            "arch: !!python/object/apply:numpy.core.multiarray.scalar [1, 2]",
            "a number of numpy that cannot be",
        ),
    ):
        (file.parent / "all_config.yaml").write_text(text)
        line = failure(capsys, "import", str(file), "--from", "trm")
        assert part in line
        assert "--config" in line
