# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Configurations that programs wrote with their own numbers and lists."""

from __future__ import annotations

import numpy as np
import yaml
from cli.fixtures import cache, failure, folder

from recurlight.interop import known_data, read_published

from .conftest import publish
from .importing import SUDOKU, loaded, run


def test_numbers_may_be_written_with_a_point(folder):
    """Fails when 3.0, which the published code takes for 3, is refused."""
    file = publish(folder / "hub", SUDOKU)
    config = SUDOKU.config() | {"global_batch_size": 96.0, "lr_warmup_steps": 7.0}
    config["arch"] |= {"H_cycles": 3.0, "L_cycles": "2.0", "hidden_size": 64.0, "num_heads": 2.0}
    (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    run(file, "--from", "trm", "--halting", "correctness")
    made = loaded("step_65000.ckpt")["hyper_parameters"]
    assert (made["cycles"], made["refiner"]["init_args"]["latent_steps"]) == (3, 2)
    assert type(made["cycles"]) is int
    assert made["scheduler"]["init_args"] == {"warmup": 7}
    assert known_data({"data_path": "sudoku-extreme-1k"} | config)["init_args"]["batch_size"] == 96


def test_objects_of_numpy_and_omegaconf_are_read_as_what_they_stand_for(folder):
    """Fails when a configuration that a program wrote with its own objects in it is no YAML."""
    file = publish(folder / "hub", SUDOKU)
    config = SUDOKU.config() | {"evaluators": Unknown()}
    config["arch"] |= {
        "H_cycles": np.int64(5),
        "mlp_t": np.bool_(True),
        "halt_exploration_prob": np.float32(0.25),
    }
    text = yaml.dump(config | {"lr": np.float64(3e-4)}) + LISTS
    (file.parent / "all_config.yaml").write_text(text)
    run(file, "--from", "trm")
    made = loaded("step_65000.ckpt")["hyper_parameters"]
    assert (made["cycles"], made["exploration"]) == (5, 0.25)
    assert made["optimizer"]["init_args"]["lr"] == 3e-4
    read = read_published(str(file)).config
    assert read["data_paths"] == ["data/mine", ["b"]]
    assert read["evaluators"] == f"a Python object, {__name__}.Unknown"


class Unknown:
    """A class that no other program has."""

    def __setstate__(self, state):
        raise AssertionError("made from a file")


LISTS = """
data_paths: &id001 !!python/object:omegaconf.listconfig.ListConfig
  _content:
  - !!python/object:omegaconf.nodes.AnyNode
    _metadata: !!python/object:omegaconf.base.Metadata
      key: 0
      ref_type: &id002 !!python/name:typing.Any ''
      resolver_cache: !!python/object/apply:collections.defaultdict
      - &id003 !!python/name:builtins.dict ''
    _parent: *id001
    _val: data/mine
  - !!python/object:omegaconf.listconfig.ListConfig
    _content:
    - !!python/object:omegaconf.nodes.AnyNode {_parent: *id001, _val: b}
  _metadata: !!python/object:omegaconf.base.ContainerMetadata {element_type: *id002, key: data_paths}
  _parent: null
"""
"""A list as omegaconf 2.3 is written by `yaml.dump`."""
