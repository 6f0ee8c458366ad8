"""Random generators that are passed, never global."""

import hashlib
import operator

import numpy as np


def generator_for(seed: int, *keys: int | str) -> np.random.Generator:
    """Give a piece of work a generator of its own, whatever else was drawn before.

    The same seed and keys give the same generator on every machine and in every order of work, so
    that images can be made in parallel and an interrupted training continues with the crops it
    would have seen.

    Parameters
    ----------
    seed : int
        Seed of the run, 0 or larger.
    *keys : int or str
        What the numbers are for, for instance ``"augment", stem, copy``.

    Examples
    --------
    >>> int(generator_for(1, "crop", 7).integers(100))
    40
    """
    # NumPy's integers and enumerations are written otherwise than the plain values that they equal.
    plain = tuple(str(k) if isinstance(k, str) else int(operator.index(k)) for k in (seed, *keys))
    digest = hashlib.sha256(repr(plain).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
