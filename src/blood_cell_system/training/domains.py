"""Laboratories that examples come from, what each counts, and how well features reveal them.

Where the laboratory is not known, images are grouped by their stain: by the
optical density of what is stained, above the empty slide. Light and white balance are out of it,
dye and thickness are in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.augmentation.cell_batches import CellLabels
from blood_cell_system.errors import SettingsError
from blood_cell_system.metrics.classification_scores import balanced_accuracy, confusion_counts
from blood_cell_system.metrics.trivial_answer import fit_logistic
from blood_cell_system.seeding import generator_for
from blood_cell_system.stain.optical_density import GREEN, optical_density

DEFAULT_GROUPS: Final = 3
"""Groups of stain, at most: few enough that each has images to learn from."""

_STAINED_FROM: Final = 0.08
"""Green optical density above the empty slide from which a pixel counts as stained."""

_FEWEST_PIXELS: Final = 16
"""Stained pixels from which mean and spread mean anything."""

_LARGEST_SIDE_PX: Final = 320
"""Side that images are thinned to, in pixels; means need no more."""

_ROUNDS: Final = 50
"""Rounds of k-means at most; it settles within a few."""

Floats = NDArray[np.float64]


def stain_of_smear(image: NDArray[np.uint8]) -> Floats:
    """Mean and spread of the density of all that is stained in a smear.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (6,)
        Means, then standard deviations, of red, green and blue; 0 for an empty slide.
    """
    step = max(1, max(image.shape[:2]) // _LARGEST_SIDE_PX)
    density = optical_density(np.ascontiguousarray(image[::step, ::step]))
    return _mean_and_spread(density[density[:, :, GREEN] > _STAINED_FROM])


def stain_of_cell(cell_image: NDArray[np.uint8]) -> Floats:
    """Mean and spread of the density within a cell's outline.

    Parameters
    ----------
    cell_image : ndarray of shape (height, width, 4), dtype uint8
        RGBA; the empty slide is white.

    Returns
    -------
    ndarray of shape (6,)
        As of :func:`stain_of_smear`.
    """
    inside = cell_image[cell_image[:, :, 3] > 127][:, :3]
    return _mean_and_spread(-np.log(np.maximum(inside, 1) / 255.0))


def stain_groups(
    statistics: NDArray[np.floating], *, groups: int = DEFAULT_GROUPS, seed: int
) -> NDArray[np.int32]:
    """Group images by k-means on standardised statistics.

    Parameters
    ----------
    statistics : ndarray of shape (n, features)
    groups : int
        At most; fewer when there are fewer different images.

    Returns
    -------
    ndarray of shape (n,), dtype int32
        Group of each image, numbered from the largest one.

    References
    ----------
    .. [1] D. Arthur, S. Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    values = np.asarray(statistics, dtype=np.float64)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centres = _first_centres(values, groups, generator_for(seed, "stain groups"))
    nearest = np.zeros(len(values), dtype=np.intp)
    for round_index in range(_ROUNDS):
        former = nearest
        nearest = _squared_distances(values, centres).argmin(axis=1)
        if round_index and np.array_equal(former, nearest):
            break
        for index in np.unique(nearest):
            centres[index] = values[nearest == index].mean(axis=0)
    order = np.argsort(-np.bincount(nearest, minlength=len(centres)), kind="stable")
    rank = np.empty(len(centres), dtype=np.int32)
    rank[order] = np.arange(len(centres))
    return np.asarray(rank[nearest], dtype=np.int32)


def _mean_and_spread(densities: NDArray[np.floating]) -> Floats:
    if len(densities) < _FEWEST_PIXELS:
        return np.zeros(6)
    return np.concatenate([densities.mean(axis=0), densities.std(axis=0)]).astype(np.float64)


def _first_centres(values: Floats, groups: int, generator: np.random.Generator) -> Floats:
    centres = [values[generator.integers(len(values))]]
    while len(centres) < groups:
        distance = _squared_distances(values, np.array(centres)).min(axis=1)
        if distance.sum() == 0:
            break
        centres.append(values[generator.choice(len(values), p=distance / distance.sum())])
    return np.array(centres)


def _squared_distances(values: Floats, centres: Floats) -> Floats:
    return np.asarray(((values[:, None] - centres[None]) ** 2).sum(axis=2))


_LARGEST_WEIGHT: Final = 10.0
"""What an example of a domain that is hardly ever drawn counts at most, against the others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Domains:
    """Domains of examples, by position, and what each example counts in the domain head's loss.

    Parameters
    ----------
    names : tuple of str
        Domains, in the order of their indices.
    index : ndarray of shape (n,), dtype int32
    weight : ndarray of shape (n,), dtype float32
        Makes domains count alike, however often each is drawn; 0 leaves an example out.
    is_possible : ndarray of shape (n, domains), dtype bool
        Whether an example's class comes from the domain at all.
    """

    names: tuple[str, ...]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]
    is_possible: NDArray[np.bool_]

    def batch(self, positions: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Give what a learner needs for examples at these positions."""
        return {
            "domain": self.index[positions],
            "domain_weight": self.weight[positions],
            "domain_is_possible": self.is_possible[positions],
        }


def domains_of_images(
    sources: Sequence[str],
    pixels: Iterable[NDArray[np.uint8]],
    *,
    seed: int,
    frequencies: NDArray[np.float64] | None = None,
) -> Domains:
    """Take images' sources for domains; where there is one only, groups of similar stain.

    All classes of the segmenter occur in the images of every laboratory, so that no class can be
    mistaken for a domain.

    Parameters
    ----------
    sources : sequence of str
        Of n images.
    pixels : iterable of ndarray of shape (height, width, 3), dtype uint8
        The images; looked at only where all are of one source.
    frequencies : ndarray of shape (n,), dtype float64, optional
        How often crops show each image, against the others; all alike by default.

    Raises
    ------
    SettingsError
        All images are from one source and of one stain.
    """
    names = tuple(sorted(set(sources)))
    if len(names) > 1:
        index = np.array([names.index(source) for source in sources], dtype=np.int32)
    else:
        index = stain_groups(np.array([stain_of_smear(image) for image in pixels]), seed=seed)
        names = group_names(index)
    if len(names) < 2:
        raise SettingsError(
            f"--domain-adaptation: all {len(sources)} training images are from one source and of "
            "one stain; expected images of two laboratories. Add some, or leave the option out."
        )
    counts = np.bincount(index, weights=frequencies, minlength=len(names))
    weight = (counts.sum() / (len(names) * counts))[index]
    return Domains(
        names=names,
        index=index,
        weight=weight.astype(np.float32),
        is_possible=np.ones((len(index), len(names)), dtype=bool),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainPlan:
    """For each class of cells, which domains have it, and what a cell of each counts.

    A class is a condition with a type, as far as they are known. A class that comes from one domain
    only has no part: all that could be unlearned there is the class. What is no cell has none
    either. Last rows and columns, at index -1, stand for what is not labelled.

    Parameters
    ----------
    names : tuple of str
        Domains, in the order of their indices.
    is_possible : ndarray of shape (conditions + 1, types + 1, domains), dtype bool
        Whether the class comes from the domain; nowhere for a class without part.
    weight : ndarray of shape (conditions + 1, types + 1, domains), dtype float32
    """

    names: tuple[str, ...]
    is_possible: NDArray[np.bool_]
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        labels: CellLabels,
        drawn: Sequence[int],
        *,
        conditions: int,
        types: int,
    ) -> "DomainPlan":
        """Plan for cells whose ``source`` is their domain.

        Parameters
        ----------
        labels : CellLabels
            Of the training cells.
        drawn : sequence of int
            Positions of a few thousand training examples, as the sampler draws them.
        conditions, types : int
            Numbers of classes.

        Raises
        ------
        SettingsError
            No class comes from two domains, so that there is nothing to adapt by.
        """
        shape = (conditions + 1, types + 1, len(labels.sources))
        counts = np.zeros(shape)
        is_cell = labels.known > 0
        places = (labels.condition, labels.cell_type, labels.source)
        np.add.at(counts, tuple(values[is_cell] for values in places), 1)
        # A cell without any label cannot be said to be of the class of others.
        counts[-1, -1] = 0
        is_shared = (counts > 0).sum(axis=2, keepdims=True) >= 2
        is_possible = (counts > 0) & is_shared
        if not is_possible.any():
            raise SettingsError(
                f"--domain-adaptation: no class comes from two of the sources "
                f"{', '.join(labels.sources)}; expected one at least, since within one source only "
                "the class itself could be unlearned. Add cells of a second laboratory, or leave "
                "the option out."
            )
        often = np.zeros(shape)
        positions = np.asarray(drawn, dtype=np.intp)
        positions = positions[is_cell[positions]]
        np.add.at(often, tuple(values[positions] for values in places), 1)
        domains = is_possible.sum(axis=2, keepdims=True)
        total = np.where(is_possible, often, 0).sum(axis=2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(is_possible, total / (domains * often), 0.0)
        weight = np.nan_to_num(weight, nan=1.0, posinf=_LARGEST_WEIGHT)
        return cls(
            names=labels.sources,
            is_possible=is_possible,
            weight=np.minimum(weight, _LARGEST_WEIGHT).astype(np.float32) * is_possible,
        )

    def domains_of(self, labels: CellLabels) -> Domains:
        """Look labelled cells up, whose ``source`` is their domain."""
        place = labels.condition, labels.cell_type
        weight = self.weight[*place, labels.source] * (labels.known > 0)
        return Domains(
            names=self.names,
            index=labels.source,
            weight=weight.astype(np.float32),
            is_possible=self.is_possible[place],
        )


def group_names(index: NDArray[np.int32]) -> tuple[str, ...]:
    """Names of groups of stain, from their numbers."""
    return tuple(f"stain {number + 1}" for number in range(int(index.max()) + 1))


_PENALTY: Final = 1e-3
"""Weight of the squared coefficients of the probe, which keeps it finite where domains separate."""

_FEWEST_EXAMPLES: Final = 10
"""Examples of a domain within a class from which the probe learns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a linear probe makes of features.

    Parameters
    ----------
    accuracy : float
        Mean over the groups of the balanced accuracy on examples that the probe has not seen; NaN
        when no group has enough examples of two domains.
    chance : float
        What guessing would reach.
    """

    accuracy: float
    chance: float


def probe_domains(
    train: tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]],
    test: tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]],
) -> ProbeResult:
    """Fit a probe of the domain within each group, and measure it on other examples.

    Groups are classes: between classes, the class itself would reveal the domain.

    Parameters
    ----------
    train, test : tuple of features (n, channels), domains (n,), groups (n,)
        Examples of group -1 are left out.
    """
    accuracies, chances = [], []
    features, domains, groups = train
    for group in np.unique(groups[groups >= 0]):
        chosen, tested = groups == group, test[2] == group
        names, counts = np.unique(domains[chosen], return_counts=True)
        names = names[counts >= _FEWEST_EXAMPLES]
        chosen &= np.isin(domains, names)
        tested &= np.isin(test[1], names)
        if len(names) < 2 or len(np.unique(test[1][tested])) < 2:
            continue
        centre, spread = features[chosen].mean(axis=0), features[chosen].std(axis=0) + 1e-6
        own = np.searchsorted(names, domains[chosen])
        weights = fit_logistic(
            _with_ones((features[chosen] - centre) / spread),
            own,
            num_classes=len(names),
            weight=1 / (np.bincount(own) * len(names))[own],
            ridge=_PENALTY,
        )
        scores = _with_ones((test[0][tested] - centre) / spread) @ weights
        confusion = confusion_counts(
            np.searchsorted(names, test[1][tested]), scores.argmax(axis=1), num_classes=len(names)
        )
        accuracies.append(balanced_accuracy(confusion))
        chances.append(1 / len(np.unique(test[1][tested])))
    if not accuracies:
        return ProbeResult(accuracy=float("nan"), chance=float("nan"))
    return ProbeResult(accuracy=float(np.mean(accuracies)), chance=float(np.mean(chances)))


def _with_ones(features: NDArray[np.floating]) -> Floats:
    return np.column_stack([np.ones(len(features)), features]).astype(np.float64)
