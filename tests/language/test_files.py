"""Where the files of published models are looked for; nothing of transformers is needed."""

from __future__ import annotations

import sys

import pytest

from recurlight import CheckpointError, PretrainedBackbone
from recurlight.language.files import model_folder, weight_files


def written(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"weights")
    return folder


def test_folders_of_this_machine_come_before_the_hub(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert model_folder("owner/name", None).is_dir()


class Hub:
    def __init__(self, error=None):
        self.error, self.asked = error, []

    def snapshot_download(self, name, revision, allow_patterns):
        self.asked.append((name, revision, allow_patterns))
        if self.error:
            raise self.error
        return "fetched"


def test_hub_names(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", sys)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub := Hub())
    assert str(model_folder("owner/name", None)) == "fetched"
    model_folder("owner/name@abc", "model.gguf")
    assert [asked[:2] for asked in hub.asked] == [("owner/name", None), ("owner/name", "abc")]
    assert "*.safetensors" in hub.asked[0][2]
    assert hub.asked[1][2] == ["model.gguf"]


def test_what_the_hub_refuses_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", sys)
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(OSError("no\nnetwork")))
    with pytest.raises(CheckpointError, match=r"^owner/name is no folder here, .*\(OSError\): name"):
        model_folder("owner/name", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match=r"pip install 'recurlight\[lm\]'"):
        model_folder("owner/name", None)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no such folder", "no such folder: there is no such folder; name that of a model"),
        ("a.gguf", "a.gguf is a file: set model.backbone.path to its folder . and gguf_file to a.gguf"),
    ],
)
def test_other_places_are_refused(path, message, tmp_path, monkeypatch):
    written(tmp_path, "a.gguf")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        model_folder(path, None)


def test_weights_are_those_that_the_library_reads(tmp_path):
    written(tmp_path, "pytorch_model.bin", "other.safetensors", "a.gguf")
    assert weight_files(tmp_path, None) == [tmp_path / "pytorch_model.bin"]
    written(tmp_path, "model.safetensors")
    assert weight_files(tmp_path, None) == [tmp_path / "model.safetensors"]
    assert weight_files(tmp_path, "a.gguf") == [tmp_path / "a.gguf"]


def test_folders_without_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no weights: name a folder with model.safetensors or"):
        weight_files(tmp_path, None)
    written(tmp_path, "a.gguf")
    with pytest.raises(CheckpointError, match=r"as save_pretrained writes it; for its a.gguf set gguf_file"):
        weight_files(tmp_path, None)
    with pytest.raises(CheckpointError, match=r"has no file b.gguf: set gguf_file to one of a.gguf"):
        weight_files(tmp_path, "b.gguf")


@pytest.mark.parametrize(
    ("lacking", "install"),
    [("transformers", r"'recurlight\[lm\]'"), ("gguf", "gguf"), ("accelerate", "accelerate")],
)
def test_libraries_that_are_missing_are_named(lacking, install, tmp_path, monkeypatch):
    for name in ("transformers", "gguf", "accelerate"):
        monkeypatch.setitem(sys.modules, name, None if name == lacking else sys)
    written(tmp_path, "a.gguf")
    with pytest.raises(CheckpointError, match=f"PretrainedBackbone needs {lacking}: pip install {install}$"):
        PretrainedBackbone(str(tmp_path), "a.gguf", symbols=[0, 1])


@pytest.mark.parametrize("beside", [(), ("model.safetensors",)])
def test_an_adapter_is_no_model(beside, tmp_path):
    """Fails if only weights are looked at, beside which transformers reads an adapter where it can."""
    folder = written(tmp_path, "config.json", "adapter_config.json", "adapter_model.safetensors", *beside)
    with pytest.raises(CheckpointError, match="holds an adapter: merge it into its model, "):
        weight_files(folder, None)
