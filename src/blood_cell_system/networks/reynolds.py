r"""The Reynolds operator: symmetric averages over the neighbours of each place of a feature map.

A smear has no up and no left, so the group is that of shifts, quarter turns and flips. The
Reynolds operator averages a map over a group; a Reynolds design is a subset with the same average,
and the Reynolds dimension is the number of inputs that the inner map reads [1]_. Averaged over all
shifts, a map of *one* input is nothing but mean pooling. Here the inner map is non-linear and reads
an ordered pair, a place and one of its neighbours (Reynolds dimension 2), and the design for a pair
at a given offset is the offset's orbit under quarter turns and flips:

.. math::

    y_p = x_p + W_o \operatorname{concat}_j \Big[ \frac{1}{|H_j|} \sum_{o \in H_j}
          \sigma(A z_p + B_j z_{p+o} + c) \Big], \qquad z = x W_{in}

Neighbours beyond the border do not count, neither in the sum nor in :math:`|H_j|`. The cost grows
with the number of places, not with its square. The block commutes with quarter turns and flips
exactly and with shifts away from the border; that alone does not make the network around it
equivariant.

Averaged over the places as well it is the Reynolds operator of the whole group, and invariant
(:func:`reynolds_pooling`):

.. math::

    \operatorname{concat}_j \ \text{mean of } \sigma(A z_p + B_j z_{p+o} + c)
    \text{ over all places } p \text{ and all } o \in H_j \text{ with } p + o \text{ inside}

Both are composed of Keras's own layers, so that a saved model opens wherever Keras does.

References
----------
.. [1] A. Sannai, M. Kawano, W. Kumagai, "Invariant and Equivariant Reynolds Networks", JMLR 25(42),
   2024.
"""

from typing import Any, Final

from keras import layers, ops

from blood_cell_system.errors import SettingsError

Offset = tuple[int, int]

DEFAULT_OFFSETS: Final[tuple[Offset, ...]] = ((0, 1), (1, 1), (0, 2), (0, 4), (4, 4))
"""At a stride of 32 the farthest neighbours are 128 pixels away: a pair spans a white cell."""


def dihedral_orbit(offset: Offset) -> tuple[Offset, ...]:
    """All places that quarter turns and flips take an offset of (rows, columns) to, sorted.

    Examples
    --------
    >>> dihedral_orbit((0, 2))
    ((-2, 0), (0, -2), (0, 2), (2, 0))
    >>> len(dihedral_orbit((1, 2)))
    8
    """
    turned = (offset, offset[::-1])
    places = {(a * r, b * c) for r, c in turned for a in (-1, 1) for b in (-1, 1)}
    return tuple(sorted(places))


def reynolds_bottleneck(
    features: Any,
    *,
    d_reduced: int,
    offsets: tuple[Offset, ...] = DEFAULT_OFFSETS,
    name: str = "reynolds",
) -> Any:
    """Add a Reynolds bottleneck to a functional model.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
    d_reduced : int
        Width of the pairs' inner map.
    offsets : tuple of (int, int)
        One representative an orbit, in places of the feature map.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    KerasTensor of shape (batch, height, width, channels)
    """
    channels = features.shape[-1]
    reduced = layers.Conv2D(d_reduced, 1, use_bias=False, name=f"{name}_reduce")(features)
    own = layers.Conv2D(d_reduced, 1, name=f"{name}_own")(reduced)
    inside = ops.ones_like(features[..., :1])
    averages = []
    for index, offset in enumerate(offsets):
        other = layers.Conv2D(d_reduced, 1, use_bias=False, name=f"{name}_other_{index}")(reduced)
        orbit = dihedral_orbit(offset)
        counts = [_shifted(inside, place) for place in orbit]
        terms = [
            count * ops.relu(own + _shifted(other, place))
            for count, place in zip(counts, orbit, strict=True)
        ]
        averages.append(sum(terms[1:], terms[0]) / ops.maximum(sum(counts[1:], counts[0]), 1.0))
    joined = layers.Concatenate(name=f"{name}_join")(averages) if len(averages) > 1 else averages[0]
    # Zeros let training start from the plain U-Net.
    restored = layers.Conv2D(channels, 1, kernel_initializer="zeros", name=f"{name}_restore")(
        joined
    )
    return layers.Add(name=f"{name}_add")([features, restored])


def reynolds_pooling(
    features: Any,
    *,
    d_reduced: int,
    offsets: tuple[Offset, ...] = DEFAULT_OFFSETS,
    name: str = "reynolds",
) -> Any:
    """Describe a feature map by its pairs of places, whatever way it is turned.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
        Of a fixed size.
    d_reduced : int
        Width of the pairs' inner map.
    offsets : tuple of (int, int)
        One representative an orbit, in places of the feature map. Orbits that no pair of places
        has are left out.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    KerasTensor of shape (batch, orbits * d_reduced)
        The same for a map that is turned by quarters or flipped.

    Raises
    ------
    SettingsError
        The map is too small for all of the offsets.
    """
    height, width = features.shape[1:3]
    orbits = [
        [(r, c) for r, c in dihedral_orbit(offset) if abs(r) < height and abs(c) < width]
        for offset in offsets
    ]
    if not any(orbits):
        raise SettingsError(
            f"Reynolds pooling: a map of {height}×{width} places has no pair at the offsets "
            f"{offsets}. Take smaller offsets, or a larger input."
        )
    reduced = layers.Conv2D(d_reduced, 1, use_bias=False, name=f"{name}_reduce")(features)
    own = layers.Conv2D(d_reduced, 1, name=f"{name}_own")(reduced)
    averages = []
    for index, orbit in enumerate(orbits):
        if not orbit:
            continue
        other = layers.Conv2D(d_reduced, 1, use_bias=False, name=f"{name}_other_{index}")(reduced)
        pairs = [ops.relu(_from(own, place) + _to(other, place)) for place in orbit]
        count = sum((height - abs(r)) * (width - abs(c)) for r, c in orbit)
        sums = [ops.sum(pair, axis=(1, 2)) for pair in pairs]
        averages.append(sum(sums[1:], sums[0]) / count)
    return layers.Concatenate(name=f"{name}_join")(averages) if len(averages) > 1 else averages[0]


def _from(tensor: Any, offset: Offset) -> Any:
    """Give the places that have a neighbour at ``offset``."""
    rows, columns = offset
    return layers.Cropping2D(((max(-rows, 0), max(rows, 0)), (max(-columns, 0), max(columns, 0))))(
        tensor
    )


def _to(tensor: Any, offset: Offset) -> Any:
    """Give these neighbours."""
    return _from(tensor, (-offset[0], -offset[1]))


def _shifted(tensor: Any, offset: Offset) -> Any:
    """Value of the neighbour at ``offset``, and 0 where that lies beyond the border."""
    rows, columns = offset
    before = (max(-rows, 0), max(-columns, 0))
    after = (max(rows, 0), max(columns, 0))
    padded = layers.ZeroPadding2D(((before[0], after[0]), (before[1], after[1])))(tensor)
    return layers.Cropping2D(((after[0], before[0]), (after[1], before[1])))(padded)
