"""Published files of random weights, and a summary of how far recurlight is from the published formulas."""

from __future__ import annotations

import pytest
import torch
import yaml

from .reference import HRM, TRM_ATTENTION, TRM_MIXER, random_weights

MEASURED: dict[str, float] = {}


@pytest.fixture
def measure():
    """Hold a difference to its bound, and keep the largest of each kind for the summary."""

    def check(what, difference, bound):
        MEASURED[what] = max(MEASURED.get(what, 0.0), difference)
        assert difference <= bound, f"{what}: {difference:.2e} is above {bound:.0e}"

    return check


def pytest_terminal_summary(terminalreporter):
    if MEASURED:
        terminalreporter.section("largest differences from the published formulas")
        for what, difference in sorted(MEASURED.items()):
            terminalreporter.write_line(f"{what:60} {difference:.1e}")


def publish(folder, shape, *, prefix="", config=True, weights=None):
    """Write a published file and its `all_config.yaml`; return the file."""
    weights = random_weights(shape) if weights is None else weights
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({prefix + key: weight for key, weight in weights.items()}, folder / "step_65000")
    if config:
        (folder / "all_config.yaml").write_text(yaml.safe_dump(shape.config()))
    return folder / "step_65000"


@pytest.fixture(
    scope="session", params=[TRM_ATTENTION, TRM_MIXER, HRM], ids=["trm-attention", "trm-mixer", "hrm"]
)
def shape(request):
    """Each published architecture, small."""
    return request.param
