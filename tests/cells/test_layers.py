"""The pieces of cells under autocast of a CUDA device, which fake tensors have without there being one."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from recurlight import MixerCell, Sizes


class Copies(TorchDispatchMode):
    """Counts conversions of low precision to float32."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation is torch.ops.aten._to_copy.default:
            self.count += args[0].dtype == torch.bfloat16 and result.dtype == torch.float32
        return result


@pytest.fixture
def cuda_autocast():
    """Autocast that `torch.autocast` would switch off where there is no such device."""
    before = (
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cuda"),
        torch.is_autocast_cache_enabled(),
    )
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_cache_enabled(False)
    yield
    torch.set_autocast_enabled("cuda", before[0])
    torch.set_autocast_dtype("cuda", before[1])
    torch.set_autocast_cache_enabled(before[2])


def moved(model):
    """Give a module fake weights on the device."""
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            for name, value in ((name, value) for name, value in held.items() if value is not None):
                held[name] = torch.empty(value.shape, dtype=value.dtype, device="cuda")


def test_no_activation_is_copied_to_float32_and_back(cuda_autocast):
    """Fails if the norms are left to autocast, which takes three passes over the memory for one."""
    cell = MixerCell(layers=1)
    cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator())
    with FakeTensorMode():
        moved(cell)
        state = torch.zeros(2, 16, 32, dtype=torch.bfloat16, device="cuda")
        with Copies() as copies:
            found = cell(state)
    assert found.is_cuda
    assert found.dtype == torch.bfloat16
    assert copies.count == 0
