"""Freed memory of images is kept, on C libraries that can, and Python seldom looks for unreachable objects."""

import platform
import resource
import subprocess
import sys

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


ENDING = """
import atexit, gc
from campfire.core import memory
class Cycle:
    def __init__(self): self.own = self
    def __del__(self): print("collected")
{call}
atexit.register(print, "ended")
left, thresholds = Cycle(), gc.get_threshold()
print(thresholds[0])
"""


@pytest.mark.parametrize(
    ("call", "printed"),
    [("", ["700", "ended", "collected"]), ("memory.collect_seldom()\nmemory.collect_seldom()", ["50000", "ended"])],
)
def test_a_process_ends_without_looking_for_unreachable_objects(call: str, printed: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", ENDING.format(call=call)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == printed and not done.stderr


@pytest.mark.parametrize("library", ["duckdb", "triton._C.libtriton"])
def test_libraries_do_not_complain_at_the_end(library: str) -> None:
    pytest.importorskip(library.partition(".")[0])
    program = f"from campfire.core.memory import collect_seldom\ncollect_seldom()\nimport {library}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not done.stderr
