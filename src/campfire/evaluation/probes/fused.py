"""The optimiser's step of the probes in one pass over memory.

numpy makes ten passes over arrays as large as the weights, which takes as long as the matrix products of a step. numba
compiles them to one. It multiplies, adds, divides and takes roots one after the other in single precision as numpy does
(fused multiply-add would need `fastmath`), so the result has the same bytes. Compilation takes some two seconds, so
only long fits use it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Step = Callable[[Floats, Floats, Floats, Floats, Floats, Floats, np.float32, np.float32], None]

FUSED_FROM = 4e9
"""Weights times steps from which compilation is repaid: numpy takes about 1 ns more for each."""


@cache
def fused_step() -> Step:
    """`trainer._update` compiled for lanes of their own size and offset; see `_step` for the arguments."""
    from numba import njit

    two, one = "float32[:, ::1]", "float32[::1]"
    arguments = ", ".join([two] * 4 + [one] * 2 + ["float32"] * 2)
    compiled: Step = njit(f"void({arguments})", nogil=True, error_model="numpy")(_step)
    return compiled


def _step(
    weights: Any, moment: Any, square: Any, gradient: Any, size: Any, offset: Any, momentum: Any, decay: Any
) -> None:
    """AdamW in place: weights, both moments and gradient (P, S), size and offset (P,), momentum and decay numbers."""
    for lane in range(len(weights)):
        w, m, v, g, rate, least = weights[lane], moment[lane], square[lane], gradient[lane], size[lane], offset[lane]
        for i in range(len(w)):
            m[i] = m[i] * momentum + g[i]
            v[i] = v[i] + g[i] * g[i]
            w[i] = w[i] * decay - m[i] / (np.sqrt(v[i]) + least) * rate
