"""The loss of a domain head, which looks only at what domains have in common."""

from typing import Any, Final

from keras import ops

_IMPOSSIBLE: Final = -1e9
_SMALLEST: Final = 1e-6


def conditional_domain_loss(domain: Any, weight: Any, is_possible: Any, domain_logits: Any) -> Any:
    """Weighted mean cross-entropy of the domain, among the domains that have the example's class.

    Were all domains compared at once, the class alone would tell the domain wherever a disease
    comes from one laboratory only, and gradient reversal would unlearn the disease.

    Parameters
    ----------
    domain : tensor of shape (batch,), integer
    weight : tensor of shape (batch,)
        0 leaves an example out.
    is_possible : tensor of shape (batch, domains), bool or float
        Whether the example's class comes from that domain at all.
    domain_logits : tensor of shape (batch, domains)

    Returns
    -------
    scalar tensor
        0 when no example counts.
    """
    possible = ops.cast(is_possible, "float32")
    logits = domain_logits + (1.0 - possible) * _IMPOSSIBLE
    target = ops.one_hot(ops.cast(domain, "int32"), domain_logits.shape[-1], dtype="float32")
    # Where the domain itself is impossible, the weight is 0; its huge loss must not become NaN.
    per_example = -ops.sum(target * possible * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(weight * per_example) / ops.maximum(ops.sum(weight), _SMALLEST)
