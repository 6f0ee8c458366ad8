"""The checks of a prepared folder, each declared once, and what they have found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES

Region = tuple[float, float, float, float]


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has found.

    Parameters
    ----------
    severity : Severity
        An error spoils a training or its figures; a warning deserves a look; information is normal.
    check : str
        Short name of the check, the same for all findings of a kind.
    message : str
        What was found and what was expected.
    remedy : str
        What to do; the same for all findings of a kind.
    stems : tuple of str
        Images concerned; empty for the folder as a whole.
    regions : tuple of (x_min, y_min, x_max, y_max)
        Places in the only image concerned, in pixels.
    """

    severity: Severity
    check: str
    message: str
    remedy: str
    stems: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a value that ``json`` can write."""
        return asdict(self) | {
            "severity": str(self.severity),
            "stems": list(self.stems),
            "regions": [[_finite(value) for value in region] for region in self.regions],
        }


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of finding.

    Parameters
    ----------
    severity : Severity
        The worst that its findings have.
    found : str
        What is found, as the documents list it.
    remedy : str
        What to do.
    """

    name: str
    severity: Severity
    found: str
    remedy: str


_FORMAT: Final = "a pixel is (255, 0, 0), (0, 255, 0), (0, 0, 255) or, not scored, (0, 0, 0)"
_PUT_IMAGES: Final = "Put images into images/ and their masks, with the same names, into masks/."
_BROKEN_FILE: Final = (
    "Prepare the folder again, or correct the file; --fix leaves such entries out."
)
_DROPPED: Final = "Correct the annotation; --fix leaves the box out."
_ERROR, _WARNING, _INFO = Severity

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        check.name: check
        for check in (
            Check(
                "unfinished-folder",
                _ERROR,
                "the command that writes the folder has not finished",
                "Run that command again with the same --output: it completes the folder.",
            ),
            Check("missing-folder", _ERROR, "`images/` or `masks/` is not there", _PUT_IMAGES),
            Check("empty-folder", _ERROR, "`images/` or `masks/` holds no images", _PUT_IMAGES),
            Check(
                "unreadable-folder",
                _ERROR,
                "a folder cannot be listed",
                "Check the folder's permissions.",
            ),
            Check(
                "odd-name",
                _ERROR,
                "a file whose name is not plain text",
                "Rename the file; --fix leaves it out.",
            ),
            Check(
                "same-name",
                _ERROR,
                "two files differ only in their ending",
                "Rename or remove one; --fix leaves both out.",
            ),
            Check(
                "missing-mask",
                _ERROR,
                "an image without a mask",
                "Rename the mask to the image's name, or make one; --fix leaves the image out.",
            ),
            Check(
                "missing-image",
                _ERROR,
                "a mask without an image (a warning in `instances/`)",
                "Rename the mask to its image's name, or remove it; --fix leaves it out.",
            ),
            Check(
                "broken-manifest",
                _ERROR,
                "an entry of the manifest that cannot be read",
                _BROKEN_FILE,
            ),
            Check(
                "broken-annotations",
                _ERROR,
                "an entry of the annotations that cannot be read",
                _BROKEN_FILE,
            ),
            Check(
                "not-in-folder",
                _ERROR,
                "the manifest lists an image that is not there (a warning for annotations)",
                "Bring the image back, or prepare the folder again; --fix leaves the entry out.",
            ),
            Check(
                "not-in-manifest",
                _WARNING,
                "an image that the manifest does not list",
                "Add the image to the manifest, or prepare the folder again.",
            ),
            Check(
                "passed-over",
                _INFO,
                "files that are not images",
                f"Nothing, or save them as one of {', '.join(sorted(IMAGE_SUFFIXES))}.",
            ),
            Check(
                "unreadable",
                _ERROR,
                "an image or mask that is cut off or damaged",
                "Copy the file again from its source; --fix leaves the pair out.",
            ),
            Check(
                "damaged-image",
                _WARNING,
                "a JPEG or TIFF of which a part is repaired when it is read",
                "Look at it; copy it again from its source, or remove the pair.",
            ),
            Check(
                "small-image",
                _WARNING,
                "a side below 64 px",
                "Use whole fields rather than cut-out cells.",
            ),
            Check(
                "blank-image",
                _WARNING,
                "an empty image",
                "Take the image again, or remove the pair.",
            ),
            Check(
                "broken-instances",
                _ERROR,
                "a label image of another size or kind",
                "Make the label image again, or remove it; --fix leaves it out.",
            ),
            Check(
                "zero-one-mask", _ERROR, "0 and 1 in place of 0 and 255", "--fix multiplies by 255."
            ),
            Check(
                "index-mask",
                _ERROR,
                "class numbers in one channel",
                "--fix turns the numbers into red, green and blue.",
            ),
            Check(
                "blurred-mask",
                _ERROR,
                "values between 0 and 255",
                "--fix takes the strongest channel and scores no pixel in doubt. Save masks "
                "as PNG and scale them with nearest neighbour.",
            ),
            Check(
                "several-classes",
                _ERROR,
                "pixels with several classes",
                "--fix scores no pixel with several classes.",
            ),
            Check(
                "transparent-mask",
                _ERROR,
                "a mask with transparent pixels",
                "--fix leaves the transparency out.",
            ),
            Check(
                "foreign-mask",
                _ERROR,
                "a mask that cannot be understood",
                f"Make the mask again: {_FORMAT}. --fix leaves the pair out.",
            ),
            Check(
                "lossy-mask-file", _WARNING, "a JPEG or WebP mask", "Save masks as PNG; --fix does."
            ),
            Check(
                "mask-size",
                _ERROR,
                "a mask of another size than its image",
                "Make the mask again in the image's size; --fix scales exact multiples and "
                "leaves other pairs out.",
            ),
            Check(
                "nothing-scored",
                _ERROR,
                "a black mask",
                f"Make the mask again: {_FORMAT}. --fix leaves the pair out.",
            ),
            Check(
                "mostly-not-scored",
                _WARNING,
                "over 60 % of the pixels black",
                "If black was meant as background, paint it red (255, 0, 0).",
            ),
            Check("no-cells", _INFO, "background alone", "Nothing, when the image shows none."),
            Check("broken-box", _ERROR, "a box without area, or inside out", _DROPPED),
            Check("box-outside", _ERROR, "a box outside of the image", _DROPPED),
            Check(
                "box-over-edge",
                _WARNING,
                "a box over the edge of the image",
                "Correct the annotation; --fix cuts the box at the edge.",
            ),
            Check("tiny-box", _WARNING, "a box of 3 px or less", _DROPPED),
            Check(
                "duplicate-box",
                _WARNING,
                "a box with an IoU above 0.8 with another of its type",
                "Remove one of the two; --fix leaves out exact repetitions.",
            ),
            Check(
                "box-without-mask",
                _WARNING,
                "a box where the mask has no pixel of its type",
                "Look at the overlay: box or mask is wrong, or they belong to different images.",
            ),
            Check(
                "mask-without-box",
                _WARNING,
                "a white cell of the mask that no box marks",
                "Look at the overlay: add the box, or correct the mask.",
            ),
            Check(
                "size-outlier",
                _WARNING,
                "a cell at least 2.2 times wider or narrower than the median of its type",
                "Look at the overlay: several cells in one box, a fragment, or the wrong type.",
            ),
            Check(
                "mixed-magnifications",
                _WARNING,
                "red cells of some images 1.5 times wider or narrower than those of all",
                "Prepare each magnification into a folder of its own, and merge them with "
                "bloodcells combine, which scales them to one size.",
            ),
            Check(
                "leak-exact-duplicate",
                _ERROR,
                "the same image in different splits",
                "Keep one: figures on images that were learned from are too good. --fix "
                "keeps that of test, else of val.",
            ),
            Check(
                "leak-near-duplicate",
                _WARNING,
                "the same field in different splits: also cropped, turned, mirrored, scaled or "
                "recoloured, or taken again with the stage moved a little",
                "Look at them: one field taken twice makes figures too good. --fix keeps "
                "those of one split, test before val before train.",
            ),
            Check(
                "exact-duplicate",
                _WARNING,
                "the same image twice within a split",
                "Keep one: splits drawn later could separate them. --fix keeps the first.",
            ),
            Check(
                "near-duplicate",
                _WARNING,
                "the same field twice within a split",
                "Look at them: keep one field once, or keep them in one split.",
            ),
            Check(
                "leak-copy",
                _ERROR,
                "an augmented copy in another split than its original",
                "Keep copies in the split of their original; --fix puts them back.",
            ),
            Check(
                "copy-not-in-train",
                _WARNING,
                "an augmented copy in `val` or `test`",
                "Nothing, or leave it out: it is passed over.",
            ),
            Check(
                "copy-without-original",
                _WARNING,
                "an augmented copy whose original is gone",
                "Bring the originals back, or prepare the folder again.",
            ),
            Check(
                "empty-split",
                _ERROR,
                "a split without images (a warning for `val` and `test`)",
                "Add images to the split, or leave all splits out: training draws them.",
            ),
            Check(
                "missing-class",
                _ERROR,
                "a split without a pixel of a class (a warning for cells)",
                "Add images with that class: it can be neither learned nor measured.",
            ),
            Check(
                "class-balance",
                _WARNING,
                "a class twice as frequent, or half, as in the whole",
                "Split again, or mind it when splits are compared.",
            ),
            Check(
                "swapped-channels",
                _ERROR,
                "red and blue exchanged in most masks",
                "Write masks as RGB: OpenCV writes BGR unless converted with cvtColor.",
            ),
            Check(
                "mask-does-not-fit",
                _WARNING,
                "the background of the mask is darker than its cells",
                "Look at the overlay: the mask may belong to another image.",
            ),
        )
    }
)
"""All checks by name; ``docs/data_formats.md`` lists them."""


def finding(
    check: str,
    message: str,
    *stems: str,
    regions: tuple[Region, ...] = (),
    severity: Severity | None = None,
) -> Finding:
    """Make a finding of a check.

    Parameters
    ----------
    check : str
        Of ``CHECKS``.
    message : str
        What was found and what was expected.
    *stems : str
        Images concerned.
    regions : tuple of (x_min, y_min, x_max, y_max)
        Places in the only image concerned, in pixels.
    severity : Severity, optional
        Where it is less than the check's.
    """
    kind = CHECKS[check]
    return Finding(
        severity=severity or kind.severity,
        check=check,
        message=message,
        remedy=kind.remedy,
        stems=stems,
        regions=regions,
    )


def _finite(value: float) -> float | None:
    # NaN is no JSON, and a broken box may hold one.
    return value if abs(value) < float("inf") else None


def listed(names: list[str] | tuple[str, ...], at_most: int = 3) -> str:
    """Write the first few of many names.

    Examples
    --------
    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:at_most])
    rest = len(names) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown
