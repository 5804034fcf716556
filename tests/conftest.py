"""Every test runs on one torch thread, so that results do not depend on the number of cores."""

import torch
from hypothesis import settings

torch.set_num_threads(1)

# The same examples in every run, and no clock: a property that fails does so everywhere.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=25)
settings.load_profile("repeatable")
