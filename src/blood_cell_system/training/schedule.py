"""Learning rate and weight averaging as functions of the step, so that resuming needs no state."""

import math


def learning_rate_at(step: int, *, total_steps: int, peak: float, warmup_share: float) -> float:
    """Rate of a step: a linear rise, then half a cosine down to zero.

    Parameters
    ----------
    step : int
        From 0 to ``total_steps - 1``.
    total_steps : int
    peak : float
    warmup_share : float
        Share of the steps that belong to the rise.

    Examples
    --------
    >>> learning_rate_at(0, total_steps=5, peak=1.0, warmup_share=0.2)
    1.0
    >>> round(learning_rate_at(4, total_steps=5, peak=1.0, warmup_share=0.2), 3)
    0.095
    """
    warmup_steps = max(1, round(total_steps * warmup_share))
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps + 1) / max(1, total_steps - warmup_steps + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def averaging_decay_at(step: int, *, total_steps: int) -> float:
    """Share of the running average that a step keeps.

    The average looks back over a twenty-fifth of the run, and over less at its beginning, where the
    weights are still far from good.
    """
    longest = min(max(1 - 25 / max(total_steps, 1), 0.9), 0.999)
    return min(longest, (1 + step) / (10 + step))
