"""Which laboratory each training picture is from, for domain adaptation of the segmenter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import SettingsError
from blood_cell_system.input_pipeline.decoded_images import DecodedImages
from blood_cell_system.training.stain_domains import stain_groups, stain_of_smear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureDomains:
    """Domains of pictures, by position.

    All classes of the segmenter occur in the pictures of every laboratory, so that no class can be
    mistaken for a domain.

    Parameters
    ----------
    names : tuple of str
        Two or more.
    index : ndarray of shape (n,), dtype int32
    weight : ndarray of shape (n,), dtype float32
        Makes domains count alike, however many crops show them.
    """

    names: tuple[str, ...]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        images: Sequence[PreparedImage],
        decoded: DecodedImages,
        *,
        seed: int,
        frequencies: NDArray[np.float64] | None = None,
    ) -> "PictureDomains":
        """Take the manifest's sources; where there is one only, groups of similar stain.

        Parameters
        ----------
        images : sequence of PreparedImage
            Training pictures.
        decoded : DecodedImages
            The same pictures.
        seed : int
        frequencies : ndarray of shape (n,), dtype float64, optional
            How often crops show each picture, against the others; all alike by default.

        Raises
        ------
        SettingsError
            All pictures are from one source and of one stain.
        """
        names = tuple(sorted({image.source for image in images}))
        if len(names) > 1:
            index = np.array([names.index(image.source) for image in images], dtype=np.int32)
        else:
            statistics = np.array(
                [stain_of_smear(decoded[position].pixels) for position in range(len(images))]
            )
            index = stain_groups(statistics, seed=seed)
            names = tuple(f"stain {number + 1}" for number in range(int(index.max()) + 1))
        if len(names) < 2:
            raise SettingsError(
                f"--domain-adaptation: all {len(images)} training pictures are from one source and "
                "of one stain; expected pictures of two laboratories. Add some, or leave the "
                "option out."
            )
        counts = np.bincount(index, weights=frequencies, minlength=len(names))
        weight = (counts.sum() / (len(names) * counts))[index]
        return cls(names=names, index=index, weight=weight.astype(np.float32))
