"""Every test runs on one torch thread, so that results do not depend on the number of cores."""

import os

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

collect_ignore = ["fakes"]  # libraries that only some tests shall find

# The same examples in every run, and no clock: a property that fails does so everywhere.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=25)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the common seed that a command line has set: its process is that of the other tests, too."""
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
