"""Comparison of tables of cells."""

import numpy as np


def assert_same_cells(first, second):
    """Whether two tables have the same columns, values and pixels."""
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(first.label_image, second.label_image)
