"""Which classes installed packages offer, by their metadata alone."""

import importlib
import sys

import pytest

from recurlight.checkpoints.plugins import find_offer, offered_names
from recurlight.checkpoints.trust import Trust
from recurlight.errors import CheckpointMismatch, UntrustedCode

PART = "from recurlight import FixedHalting\nimport os\n\nclass Part(FixedHalting):\n    pass\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install packages as pip lays them out."""
    before = set(sys.modules)
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def made(name, source=PART, exporting=False, **entries):
        (folder / name).mkdir()
        shown = [value.partition(":") for value in entries.values()]
        text = "".join(f"from {module} import {attr}\n" for module, _, attr in shown) if exporting else ""
        (folder / name / "__init__.py").write_text(text)
        (folder / name / "parts.py").write_text(source)
        information = folder / f"{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
        (information / "entry_points.txt").write_text(f"[recurlight.parts]\n{lines}\n")
        importlib.invalidate_caches()

    yield made
    for name in set(sys.modules) - before:
        if name.startswith("fresh_"):
            del sys.modules[name]


@pytest.mark.parametrize("path", ["Part", "fresh_one.parts.Part", "fresh_one.Part"])
def test_a_class_is_found_by_its_name_and_by_paths_of_it(install, path):
    install("fresh_one", exporting=True, Part="fresh_one.parts:Part")
    trust = Trust()
    assert trust(path).__module__ == "fresh_one.parts"
    assert {"fresh_one.parts.Part", path} - {"Part"} <= trust.offered


@pytest.mark.parametrize("path", ["fresh_one.evil.Part", "fresh_one.Part"])
def test_its_name_elsewhere_in_the_package_is_refused(install, path):
    """Fails if a file reaches any module of a package by the name of a class that the package offers."""
    install("fresh_one", Part="fresh_one.parts:Part")
    trust = Trust()
    with pytest.raises(UntrustedCode, match=path):
        trust(path)
    assert trust.offered == set()


def test_looking_imports_nothing(install):
    install("fresh_one", Part="fresh_one.parts:Part")
    assert "Part" in offered_names()
    assert find_offer("Part").value == "fresh_one.parts:Part"
    for path in ("fresh_one.parts.Other", "fresh_other.Part", "Other"):
        assert find_offer(path) is None
        with pytest.raises(UntrustedCode):
            Trust()(path)
    assert not {name for name in sys.modules if name.startswith("fresh_")}


def test_two_packages_that_offer_one_name_are_told_apart_by_their_paths(install):
    install("fresh_one", Part="fresh_one.parts:Part")
    install("fresh_two", Part="fresh_two.parts:Part")
    with pytest.raises(UntrustedCode, match=r"fresh_one\.parts\.Part or fresh_two\.parts\.Part"):
        Trust()("Part")
    assert Trust()("fresh_two.parts.Part").__module__ == "fresh_two.parts"


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"Mine": "fresh_one.parts:Part"}, "offers fresh_one.parts:Part as Mine: both must"),
        ({"parts": "fresh_one.parts"}, "as parts: both must"),
        (
            {"FixedHalting": "fresh_one.parts:FixedHalting"},
            "offers FixedHalting, which is no class of",
        ),
        ({"system": "os:system"}, "offers system, which is no class of"),
        ({"os": "fresh_one.parts:os"}, "offers os, which is no class of"),
    ],
)
def test_an_entry_leads_to_a_class_of_the_package_and_has_its_name(install, entry, error):
    """Fails if metadata could make any function of any module a part."""
    install("fresh_one", **entry)
    with pytest.raises(UntrustedCode, match=error):
        Trust()(*entry)


def test_an_entry_that_leads_nowhere_says_where(install):
    entries = {"Gone": "fresh_one.gone:Gone", "Part": "fresh_one.parts:Part"}
    install("fresh_one", source="import fresh_missing", **entries)
    for name, module in (("Gone", "fresh_one.gone"), ("Part", "fresh_missing")):
        with pytest.raises(CheckpointMismatch, match=f"cannot be found: No module named '{module}'"):
            Trust()(name)
