"""Random generators that are passed, never global."""

import hashlib

import numpy as np


def generator_for(seed: int, *keys: int | str) -> np.random.Generator:
    """Generator of its own for a piece of work, whatever else was drawn before.

    The same seed and keys give the same generator on every machine and in every order of work, so
    that pictures can be made in parallel and an interrupted training continues with the crops it
    would have seen.

    Parameters
    ----------
    seed : int
        Seed of the run, 0 or larger.
    *keys : int or str
        What the numbers are for, for instance ``"augment", stem, copy``.

    Examples
    --------
    >>> generator_for(1, "crop", 7).integers(100) == generator_for(1, "crop", 7).integers(100)
    np.True_
    """
    digest = hashlib.sha256(repr((seed, *keys)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
