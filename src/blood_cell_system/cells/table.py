"""The cells that were found in one image: one table of columns beside one label image.

Every step adds columns: separation the box and the confidence, the border rule what counts,
classifiers their probabilities, measures what they measure. A column is declared once, in
:data:`COLUMNS`, with its unit and its definition.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blood_cell_system.model_metadata import Validation
from blood_cell_system.taxonomy import BUILT_IN, Condition, Subtype, Taxonomy

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column holds.

    Parameters
    ----------
    dtype : str
        NumPy's name; ``object`` for text, where None stands for a missing value.
    unit : str
        Empty for numbers without one.
    definition : str
        A sentence for the data dictionary.
    width : int
        Numbers a cell: 2 for a point, 3 for colours, 4 for a box.
    """

    name: str
    dtype: str
    unit: str = ""
    definition: str
    width: int = 1

    @property
    def flat_names(self) -> tuple[str, ...]:
        """Names of the columns of one number each that stand for it in files.

        Examples
        --------
        >>> COLUMNS["centroid"].flat_names
        ('centroid_x', 'centroid_y')
        """
        return tuple(f"{self.name}{part}" for part in _PARTS[self.width])


_PARTS: Final = {
    1: ("",),
    2: ("_x", "_y"),
    3: ("_red", "_green", "_blue"),
    4: ("_x_min", "_y_min", "_x_max", "_y_max"),
}


COLUMNS: Final[Mapping[str, Column]] = MappingProxyType(
    {
        column.name: column
        for column in (
            Column(
                name="image",
                dtype="object",
                definition="Name of the results of its image; in tables of several images.",
            ),
            Column(
                name="slide",
                dtype="object",
                definition="Slide of its image; None where slides were not named.",
            ),
            Column(
                name="patient",
                dtype="object",
                definition="Patient of its slide; None where patients were not named.",
            ),
            Column(
                name="is_smear",
                dtype="bool",
                definition="Whether its image resembles a blood smear; sums leave the others out.",
            ),
            Column(
                name="cell_type",
                dtype="object",
                definition="Name of its type in the taxonomy.",
            ),
            Column(
                name="box",
                dtype="float64",
                unit="px",
                definition="x_min, y_min, x_max, y_max around its pixels, 0-based and half-open.",
                width=4,
            ),
            Column(
                name="whole_box",
                dtype="float64",
                unit="px",
                definition="As the box, but also where other cells lie over it, as people draw it.",
                width=4,
            ),
            Column(
                name="centroid",
                dtype="float64",
                unit="px",
                definition="Mean x, y of its pixels' centres.",
                width=2,
            ),
            Column(
                name="scan_centroid",
                dtype="float64",
                unit="px",
                definition="Its centroid on level 0 of the scan that its image is a field of; NaN "
                "for other images.",
                width=2,
            ),
            Column(name="area", dtype="int64", unit="px²", definition="Number of its pixels."),
            Column(
                name="equivalent_diameter_area",
                dtype="float64",
                unit="px",
                definition="Diameter of the disc of the same area.",
            ),
            Column(
                name="equivalent_diameter_um",
                dtype="float64",
                unit="µm",
                definition="The same in micrometres; NaN where the size of a pixel is not known.",
            ),
            Column(
                name="confidence",
                dtype="float64",
                definition="0 to 1: how sure it is that there is such a cell.",
            ),
            Column(
                name="touches_border",
                dtype="bool",
                definition="Whether the border of what was seen cuts it off; its size is then a "
                "lower bound.",
            ),
            Column(
                name="is_counted",
                dtype="bool",
                definition="Whether the border rule counts it.",
            ),
            Column(
                name="condition",
                dtype="object",
                definition="The most likely condition; None for a cell that was not classified. "
                "Whether it is called so, reason says.",
            ),
            Column(
                name="possible_conditions",
                dtype="object",
                definition="Its conformal set: one name is an answer, several or none are not.",
            ),
            Column(
                name="subtype",
                dtype="object",
                definition="The most likely subtype; None where the classifier knows none.",
            ),
            Column(
                name="possible_subtypes",
                dtype="object",
                definition="Its conformal set of subtypes.",
            ),
            Column(
                name="in_distribution",
                dtype="float64",
                definition="Probability that it is any of the classifier's classes; NaN where the "
                "classifier gives none.",
            ),
            Column(
                name="is_known",
                dtype="bool",
                definition="Whether in_distribution reaches the classifier's threshold, or there "
                "is none.",
            ),
            Column(
                name="reason",
                dtype="object",
                definition="Why it was not assessed; None for a cell that was.",
            ),
            Column(
                name="flags",
                dtype="object",
                definition="Names of what a person should know about it.",
            ),
        )
    }
)


_SEPARATED: Final = (
    "cell_type",
    "whole_box",
    "confidence",
    "touches_border",
    "box",
    "centroid",
    "area",
    "equivalent_diameter_area",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """All cells of one image.

    Parameters
    ----------
    label_image : ndarray of shape (height, width), dtype int32
        0 in no cell; ``i + 1`` in the cell of row ``i``.
    data : mapping of str to ndarray
        Columns of one row a cell; see :data:`COLUMNS`.
    taxonomy : Taxonomy
    validation : mapping of str to Validation
        By condition or subtype: how well its classifier tells it in laboratories never seen.

    Raises
    ------
    ValueError
        Columns have different lengths.
    """

    label_image: NDArray[np.int32]
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    taxonomy: Taxonomy = BUILT_IN
    validation: Mapping[str, Validation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.data.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns: expected one length for all. Received: {lengths}.")
        object.__setattr__(self, "data", MappingProxyType(dict(self.data)))

    def __reduce__(self) -> tuple[Any, ...]:
        # What keeps columns from being replaced cannot be pickled.
        again = partial(
            type(self),
            label_image=self.label_image,
            data=dict(self.data),
            taxonomy=self.taxonomy,
            validation=dict(self.validation),
        )
        return again, ()

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Self:
        """Give the table of an image of that ``(height, width)`` that shows no cell.

        It has the columns that separation gives.
        """
        no_cells = cls(label_image=np.zeros(shape, dtype=np.int32))
        return no_cells.with_columns(**dict.fromkeys(_SEPARATED, ()))

    @classmethod
    def joined(cls, tables: Mapping[str, Self]) -> Self:
        """Put the cells of several images into one table, without pixels.

        Parameters
        ----------
        tables : mapping of str to Cells
            By the name of the image, which becomes the column ``image``. A column that some tables
            lack has NaN or None there.
        """
        known = {name: values for cells in tables.values() for name, values in cells.data.items()}
        columns = {
            name: np.concatenate([_filled(cells, name, like) for cells in tables.values()])
            for name, like in known.items()
        }
        images = [image for image, cells in tables.items() for _ in range(len(cells))]
        first = next(iter(tables.values()), cls(label_image=np.zeros((0, 0), dtype=np.int32)))
        empty = replace(first, label_image=np.zeros((0, 0), dtype=np.int32))
        return replace(empty, data={**columns, "image": _typed("image", images)})

    def __len__(self) -> int:
        return len(next(iter(self.data.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Column of a name.

        Raises
        ------
        KeyError
            There is no such column.
        """
        return self.data[name]

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of the cells: their values in the label image, 1..n."""
        return np.arange(1, len(self) + 1)

    def is_type(self, name: str) -> NDArray[np.bool_]:
        """Whether each cell is of a type; shape (n,)."""
        return np.asarray(self["cell_type"] == name, dtype=np.bool_)

    @property
    def has_channel(self) -> NDArray[np.bool_]:
        """Whether the class mask shows each cell; shape (n,)."""
        shown = [cell_type.name for cell_type in self.taxonomy.with_channel]
        return np.isin(self["cell_type"].astype(str), shown)

    def count(self, name: str) -> int:
        """How many cells of a type there are."""
        return self.number(self.is_type(name))

    def number(self, rows: NDArray[np.bool_]) -> int:
        """How many cells the chosen rows are."""
        return int(np.count_nonzero(rows))

    def by_image(self, rows: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Count the chosen cells of each image that has cells, in the order of their names."""
        _, places = np.unique(self["image"].astype(str), return_inverse=True)
        return np.bincount(places[rows], minlength=places.max(initial=-1) + 1)

    def median(self, name: str, rows: NDArray[np.bool_]) -> float | None:
        """Median of a column of the chosen cells; None without a cell or where one has no value."""
        values = self[name][rows]
        return None if not len(values) or np.isnan(values).any() else float(np.median(values))

    @classmethod
    def from_dataframe(
        cls,
        frame: "pandas.DataFrame",
        *,
        taxonomy: Taxonomy = BUILT_IN,
        validation: Mapping[str, Validation] | None = None,
    ) -> Self:
        """Read what :meth:`to_dataframe` gave, or a table of cells in a file; without pixels.

        Parameters
        ----------
        frame : DataFrame
            Columns of several numbers are parts, such as ``box_x_min``; several names in one value
            are a tuple, or separated by blanks.
        validation : mapping of str to Validation, optional
            Of the models that the cells were classified with.
        """
        columns: dict[str, Any] = {name: frame[name].to_numpy() for name in frame.columns}
        for parts in (parts for width, parts in _PARTS.items() if width > 1):
            for first in [name for name in columns if name.endswith(parts[0])]:
                whole = first.removesuffix(parts[0])
                names = [whole + part for part in parts]
                if all(name in columns for name in names):
                    columns[whole] = np.stack([columns.pop(name) for name in names], axis=1)
        for name, values in columns.items():
            if name in COLUMNS and COLUMNS[name].dtype == "object":
                columns[name] = [_as_object(one, several=name in _TUPLES) for one in values]
        cells = cls(
            label_image=np.zeros((0, 0), dtype=np.int32),
            taxonomy=taxonomy,
            validation=validation or {},
        )
        return cells.with_columns(**columns)

    def with_columns(self, **columns: ArrayLike | Sequence[object]) -> Self:
        """Give the same cells with further or replaced columns; types as in :data:`COLUMNS`."""
        typed = {name: _typed(name, values) for name, values in columns.items()}
        return replace(self, data={**self.data, **typed})

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Only the chosen cells, numbered anew without gaps; the others become background.

        Parameters
        ----------
        chosen : ndarray of shape (n,), dtype bool, or of shape (m,), dtype intp
            A mask, which keeps the order, or row numbers in the new order.
        """
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        if np.array_equal(rows, np.arange(len(self))):
            return self
        table = np.zeros(len(self) + 1, dtype=np.int32)
        table[rows + 1] = np.arange(1, len(rows) + 1)
        return replace(
            self,
            label_image=table[self.label_image],
            data={name: values[rows] for name, values in self.data.items()},
        )

    def to_dataframe(self) -> "pandas.DataFrame":
        """Turn the table into a pandas data frame, a row a cell; index ``cell_id``."""
        import pandas as pd

        return pd.DataFrame(self.flat(), index=pd.Index(self.ids, name="cell_id"))

    def flat(self) -> dict[str, NDArray[Any]]:
        """Give columns of one value a cell: those of :data:`COLUMNS`, then probabilities, the rest.

        Columns of several numbers become several: ``box`` becomes ``box_x_min`` ….
        """
        flat: dict[str, NDArray[Any]] = {}
        classes: tuple[Condition | Subtype, ...]
        classes = (*self.taxonomy.conditions, *self.taxonomy.subtypes)
        shares = (f"{one.name}_prob" for one in classes)
        order = dict.fromkeys([*COLUMNS, *shares, *self])
        for name in (name for name in order if name in self):
            values = self.data[name]
            width = 1 if values.ndim == 1 else values.shape[1]
            columns = values.reshape(len(self), width).T
            flat |= {f"{name}{part}": columns[i] for i, part in enumerate(_PARTS[width])}
        return flat


_TUPLES: Final = ("possible_conditions", "possible_subtypes", "flags")
"""Columns of several names a cell."""


def _as_object(value: Any, *, several: bool) -> Any:
    """Give the names of a cell, or the one that it has; None where there is none."""
    is_missing = value is None or value != value
    if several:
        return () if is_missing else tuple(value.split()) if isinstance(value, str) else value
    return None if is_missing else value


def _filled(cells: Cells, name: str, like: NDArray[Any]) -> NDArray[Any]:
    """Give a column, or one without values where the table lacks it."""
    if name in cells:
        return cells[name]
    is_object = like.dtype == np.object_
    shape = (len(cells), *like.shape[1:])
    return np.full(shape, None if is_object else np.nan, dtype="object" if is_object else None)


def _typed(name: str, values: Any) -> NDArray[Any]:
    column = COLUMNS.get(name)
    if column is None:
        return np.asarray(values)
    if column.dtype == "object":
        # Element by element: NumPy would make a second axis of tuples.
        return np.fromiter(values, dtype=np.object_)
    array = np.asarray(values, dtype=column.dtype)
    return array if column.width == 1 else array.reshape(-1, column.width)
