"""Freed memory of images is kept, on C libraries that can."""

import platform
import resource

import numpy as np
import pytest

from campfire.core.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_freed_image_costs_no_new_pages() -> None:
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            np.ones((1080, 1080), np.uint16)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert keep_freed_memory()
    faults()
    assert faults() < 20 * 570 / 4, "pages of 4 KiB, 570 to an image"
