"""Keyed generators: the draws that earlier results were made with."""

import numpy as np

from campfire.core.random import keyed_generator, keyed_seed


def test_the_key_alone_decides() -> None:
    first = keyed_generator(10, "P1").random(4)
    assert np.array_equal(first, keyed_generator(10, "P1").random(4))
    assert not np.array_equal(first, keyed_generator(10, "P2").random(4))
    assert not np.array_equal(first, keyed_generator(11, "P1").random(4))


def test_draws_of_known_keys() -> None:
    """Values that must not change: splits, probes and pretraining runs would."""
    assert (
        keyed_generator(10).integers(1000, size=3).tolist() == np.random.default_rng(10).integers(1000, size=3).tolist()
    )
    assert keyed_generator(10, "P1").integers(1000, size=3).tolist() == [681, 962, 68]
    assert keyed_seed(10, 2, -1) == 8545818003122418891
