"""The same bytes from the same run on a GPU, too.

Sums that a GPU's threads add up in any order differ in their last bits from run to run, and so does compiled code whose
kernels were chosen by timing. Torch has a fixed order for all that training needs, as an option of the process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Torch demands it of cuBLAS, and looks once, at the first product of the process. The size is that of its own default
# on an H100.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def repeatable(device: torch.device, wanted: bool) -> Iterator[None]:
    """Within the block, operations on a GPU add in a fixed order (if `wanted`); a CPU always does."""
    if device.type != "cuda" or not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # New memory filled with NaN would show where it is read too early, at the price of writing all of it.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
        memory.fill_uninitialized_memory = fill
