"""Learning rate and weight averaging as functions of the step, so that resuming needs no state."""

import math
from typing import Final

LARGEST_REVERSAL: Final = 0.3


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


def reversal_strength_at(step: int, *, total_steps: int) -> float:
    """Strength of the gradient reversal: it rises from 0, when features say nothing yet, to 0.3.

    Parameters
    ----------
    step, total_steps : int
        As of :func:`learning_rate_at`.

    References
    ----------
    .. [1] Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17(59), 2016,
       section 5.2.2; the cap is ours: at full strength small data sets lose their classes.

    Examples
    --------
    >>> [round(reversal_strength_at(step, total_steps=100), 2) for step in (0, 2, 5, 99)]
    [0.0, 0.1, 0.24, 0.3]
    """
    progress = step / max(total_steps, 1)
    return min(2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0, LARGEST_REVERSAL)


def averaging_decay_at(step: int, *, total_steps: int) -> float:
    """Share of the running average that a step keeps.

    The average looks back over a twenty-fifth of the run, and over less at its beginning, where the
    weights are still far from good.
    """
    longest = min(max(1 - 25 / max(total_steps, 1), 0.9), 0.999)
    return min(longest, (1 + step) / (10 + step))
