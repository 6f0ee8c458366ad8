import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops_table
from support.drawn_cells import perfect_outputs, touching_field

from blood_cell_system.cells import measures
from blood_cell_system.cells.measures import MEASURES, Regions, data_dictionary, measure_cells
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.slide_light import SlideLight
from blood_cell_system.taxonomy import RBC, WBC

# How far a measure may be from scikit-image's, relative and absolute; the others agree exactly.
TOLERANCES = {
    # scikit-image counts the pixels of a hull and measures these; here the hull itself is measured.
    "solidity": {"rel": 0.015},
    "feret_diameter_max": {"abs": 1.0},
}
OWN = (
    "orientation",  # The two ends of an axis are one direction; see below.
    *("form_factor", "optical_density_mean", "optical_density_std", "touching_cells"),
    *("pallor_area_share", "pallor_density_ratio", "area_in_red_cells", "density_in_red_cells"),
    *("nucleus_area", "nucleus_cytoplasm_ratio", "nucleus_lobes"),
)
LIGHT = (240.0, 230.0, 220.0)


def measured(labels, name):
    return MEASURES[name](Regions(labels, int(labels.max())))


def cells_of(labels, *types, touches=None):
    """A table of labelled cells, red ones by default."""
    types = types or (RBC,) * int(labels.max())
    touches = [False] * len(types) if touches is None else touches
    return Cells(label_image=labels).with_columns(cell_type=types, touches_border=touches)


def in_image(cells, image, *names):
    """Measures in an image with even light."""
    light = SlideLight.even(LIGHT, image.shape[:2])
    return measure_cells(cells, *names, image=image, light=light)


def stained(density):
    """An image of that optical density, of shape (height, width) or (height, width, 3)."""
    density = density[..., None] if density.ndim == 2 else density
    return np.clip(np.rint(np.array(LIGHT) * np.exp(-density)), 0, 255).astype(np.uint8)


def by_skimage(cells, name):
    """Columns of scikit-image, whose axes are rows and columns and whose pixels lie at integers."""
    table = regionprops_table(cells.label_image, properties=(name,))
    if name == "bbox":
        return np.stack([table[f"bbox-{axis}"] for axis in (1, 0, 3, 2)], axis=1)
    if name == "centroid":
        return np.stack([table["centroid-1"], table["centroid-0"]], axis=1) + 0.5
    return table[name]


FIELD = separate_cells(*perfect_outputs(touching_field(seed=2), (480, 640))[:3])


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in OWN])
def test_measures_are_those_of_scikit_image(name):
    assert len(FIELD) > 10
    expected = by_skimage(FIELD, "bbox" if name == "box" else name)
    found = measure_cells(FIELD, name)[name]
    assert found == pytest.approx(expected, **TOLERANCES.get(name, {"rel": 1e-9}))


@given(st.floats(5, 30), st.floats(0.3, 1), st.floats(0, 180), st.floats(35, 45), st.floats(35, 45))
@settings(max_examples=30, deadline=None)
def test_of_any_ellipse_they_are_too(radius, ratio, angle, x, y):
    ellipse = cv2.ellipse(
        np.zeros((80, 80), np.uint8), ((x, y), (2 * radius, 2 * radius * ratio), angle), 1, -1
    )
    cells = cells_of(ellipse.astype(np.int32))
    for name in ("perimeter", "axis_major_length", "axis_minor_length", "eccentricity", "extent"):
        found = measure_cells(cells, name)[name]
        assert found == pytest.approx(by_skimage(cells, name), rel=1e-6, abs=1e-6)
    turn = measure_cells(cells, "orientation")["orientation"] - by_skimage(cells, "orientation")
    assert np.sin(turn) == pytest.approx(0, abs=1e-6)
    for name, tolerance in TOLERANCES.items():
        found = measure_cells(cells, name)[name]
        assert found == pytest.approx(by_skimage(cells, name), **{"abs": 1.0, **tolerance})


def test_the_property_of_scikit_image_itself_is_at_hand():
    assert Regions(FIELD.label_image, len(FIELD)).regionprops("area").tolist() == pytest.approx(
        FIELD["area"]
    )


def test_every_column_is_described_once_with_a_definition():
    columns = data_dictionary()
    assert len({column.name for column in columns}) == len(columns)
    assert {column.name for column in columns} >= set(MEASURES)
    assert all(column.definition.endswith(".") for column in columns)


def test_measures_of_no_cells_are_empty_columns():
    cells = in_image(Cells.empty((20, 30)), np.zeros((20, 30, 3), np.uint8), *MEASURES)
    assert len(cells) == 0
    assert cells["centroid"].shape == (0, 2)
    assert cells["optical_density_mean"].shape == (0, 3)


def test_measures_of_a_cell_without_pixels_warn_of_nothing():
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 5:15] = 1
    cells = in_image(cells_of(labels, RBC, WBC), np.zeros((20, 30, 3), np.uint8), *MEASURES)
    assert cells["area"].tolist() == [100, 0]
    assert np.isnan(cells["solidity"]).tolist() == [False, True]


def disc(radius, shape=(80, 90), centre=(44.0, 40.0)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    return inside.astype(np.int32)


@given(st.floats(8, 35), st.floats(40, 48), st.floats(36, 44))
@settings(max_examples=30)
def test_a_disc_s_perimeter_is_right_to_six_percent(radius, x, y):
    labels = disc(radius, centre=(x, y))
    expected = 2 * np.sqrt(np.pi * labels.sum())
    assert measured(labels, "perimeter_crofton")[0] == pytest.approx(expected, rel=0.06)


@given(st.integers(0, 89))
@settings(max_examples=15)
def test_a_square_s_perimeter_is_right_to_eight_percent_however_it_is_turned(angle):
    corners = cv2.boxPoints(((60, 60), (60, 60), float(angle))).astype(np.int32)
    labels = cv2.fillPoly(np.zeros((120, 120), np.uint8), [corners], 1).astype(np.int32)
    assert measured(labels, "perimeter_crofton")[0] == pytest.approx(240, rel=0.08)


def test_touching_cells_and_the_image_s_border_have_boundaries():
    labels = np.ones((20, 40), dtype=np.int32)
    labels[:, 20:] = 2
    first, second = measured(labels, "perimeter_crofton")
    assert first == pytest.approx(second)
    assert first == pytest.approx(80, rel=0.1)


def test_a_cell_without_pixels_has_no_perimeter():
    nothing = Regions(np.zeros((4, 4), np.int32), 2)
    assert MEASURES["perimeter_crofton"](nothing).tolist() == [0, 0]
    assert MEASURES["perimeter"](nothing).tolist() == [0, 0]


def test_a_disc_is_rounder_than_an_ellipse_and_that_than_a_bar():
    ellipse = cv2.ellipse(np.zeros((80, 90), np.uint8), (44, 40), (36, 18), 0, 0, 360, 1, -1)
    bar = np.zeros((80, 90), np.int32)
    bar[38:42, 4:86] = 1
    roundness = [
        measured(labels, "form_factor")[0] for labels in (disc(30), ellipse.astype(np.int32), bar)
    ]
    assert roundness[0] > 0.95
    assert roundness[0] > roundness[1] + 0.1
    assert roundness[1] > roundness[2] + 0.3


def test_the_form_factor_is_at_most_1_and_0_without_a_boundary():
    dot = np.array([[1]], np.int32)
    assert MEASURES["form_factor"](Regions(dot, 2)).tolist() == [1.0, 0.0]


# Density


def test_the_density_of_a_cell_is_that_of_its_pixels():
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 5:25], labels[20:, 40:] = 1, 2
    density = np.zeros((40, 60, 3))
    density[10:30, 5:25] = (0.1, 0.4, 0.2)
    density[20:, 40:50], density[20:, 50:] = 0.2, 0.6
    cells = in_image(
        cells_of(labels), stained(density), "optical_density_mean", "optical_density_std"
    )
    assert cells["optical_density_mean"][0] == pytest.approx((0.1, 0.4, 0.2), abs=0.005)
    assert cells["optical_density_mean"][1] == pytest.approx([0.4] * 3, abs=0.005)
    assert cells["optical_density_std"] == pytest.approx(
        np.array([[0.0] * 3, [0.2] * 3]), abs=0.005
    )


@pytest.mark.parametrize("missing", ["image", "light"])
def test_densities_need_the_image_and_its_light(missing):
    given_ = {"image": np.zeros((9, 9, 3), np.uint8), "light": SlideLight.even(LIGHT, (9, 9))}
    del given_[missing]
    with pytest.raises(ValueError, match=f"{missing}: received none"):
        measure_cells(cells_of(np.ones((9, 9), np.int32)), "optical_density_mean", **given_)


def test_a_pallor_is_a_pale_middle():
    labels = disc(30)
    plain = np.where(labels > 0, 0.3, 0.0)
    pale = np.where(disc(12) > 0, 0.12, plain)
    names = ("pallor_area_share", "pallor_density_ratio")
    without, with_one = (in_image(cells_of(labels), stained(d), *names) for d in (plain, pale))
    assert without["pallor_area_share"][0] == 0
    assert without["pallor_density_ratio"][0] == pytest.approx(1, abs=0.02)
    assert with_one["pallor_area_share"][0] == pytest.approx((12 / 30) ** 2, rel=0.05)
    assert with_one["pallor_density_ratio"][0] == pytest.approx(0.4, abs=0.02)


def test_pallors_do_not_depend_on_how_many_cells_are_measured_at_once(monkeypatch):
    kinds = (RBC, WBC, RBC)
    labels = np.hstack([label * disc(radius) for label, radius in ((1, 30), (2, 20), (3, 25))])
    density = np.random.default_rng(0).uniform(0.1, 0.4, labels.shape)
    names = ("pallor_area_share", "pallor_density_ratio")
    at_once = in_image(cells_of(labels, *kinds), stained(density), *names)
    monkeypatch.setattr(measures, "_PIXELS_AT_ONCE", 100)
    few = in_image(cells_of(labels, *kinds), stained(density), *names)
    for name in names:
        np.testing.assert_array_equal(few[name], at_once[name])
        assert np.isnan(few[name]).tolist() == [False, True, False]


def test_white_cells_and_cells_without_stain_have_no_pallor():
    labels = disc(30)
    white = in_image(
        cells_of(labels, WBC), stained(np.full(labels.shape, 0.3)), "pallor_area_share"
    )
    empty = in_image(cells_of(labels), stained(np.zeros(labels.shape)), "pallor_area_share")
    assert np.isnan([*white["pallor_area_share"], *empty["pallor_area_share"]]).all()


def nucleated(*discs):
    """A white cell of radius 34 whose nucleus is made of discs (x, y, radius)."""
    density = np.where(disc(34) > 0, 0.15, 0.0)
    for x, y, radius in discs:
        density[disc(radius, centre=(x, y)) > 0] = 0.9
    names = ("nucleus_area", "nucleus_cytoplasm_ratio", "nucleus_lobes")
    return in_image(cells_of(disc(34), WBC), stained(density), *names)


def test_a_nucleus_is_what_is_dark_in_a_white_cell():
    cells = nucleated((44, 40, 20))
    nucleus, cell = disc(20).sum(), disc(34).sum()
    assert cells["nucleus_area"][0] == pytest.approx(nucleus, rel=0.02)
    assert cells["nucleus_cytoplasm_ratio"][0] == pytest.approx(
        nucleus / (cell - nucleus), rel=0.03
    )


@pytest.mark.parametrize(
    ("discs", "lobes"),
    [
        ([(44, 40, 20)], 1),
        ([(32, 40, 9), (56, 40, 9)], 2),
        ([(30, 40, 9), (44, 40, 9), (58, 40, 9)], 3),
        ([], 0),
    ],
    ids=["round", "two parts", "a chain of three", "no nucleus"],
)
def test_lobes_are_parts_and_what_a_neck_parts(discs, lobes):
    assert nucleated(*discs)["nucleus_lobes"].tolist() == [lobes]


def test_a_cell_that_is_all_nucleus_has_no_ratio():
    cells = nucleated((44, 40, 60))
    assert cells["nucleus_area"][0] == disc(34).sum()
    assert np.isnan(cells["nucleus_cytoplasm_ratio"][0])


def test_red_cells_have_no_nucleus():
    cells = in_image(cells_of(disc(30)), stained(np.full((80, 90), 0.3)), "nucleus_area")
    assert np.isnan(cells["nucleus_area"]).all()


# Among others


def test_cells_touch_at_sides_and_at_corners():
    labels = np.zeros((30, 30), np.int32)
    labels[:10, :10], labels[:10, 10:20], labels[10:20, 20:], labels[25:, :5] = 1, 2, 3, 4
    assert measured(labels, "touching_cells").tolist() == [1, 2, 1, 0]


def test_the_smear_s_own_standard_is_its_median_whole_red_cell():
    labels = np.zeros((60, 120), np.int32)
    sizes = (10, 20, 10, 30)
    for row, size in enumerate(sizes):
        labels[:size, 30 * row : 30 * row + size] = row + 1
    density = np.zeros(labels.shape)
    for row, value in enumerate((0.2, 0.4, 0.2, 0.8)):
        density[labels == row + 1] = value
    cells = cells_of(labels, RBC, WBC, RBC, RBC, touches=[False, False, False, True])
    cells = in_image(cells, stained(density), "area_in_red_cells", "density_in_red_cells")
    assert cells["area_in_red_cells"].tolist() == [1, 4, 1, 9]
    assert cells["density_in_red_cells"] == pytest.approx([1, 2, 1, 4], rel=0.02)


def test_without_a_red_cell_there_is_no_such_standard():
    cells = measure_cells(cells_of(disc(20), WBC), "area_in_red_cells")
    assert np.isnan(cells["area_in_red_cells"]).all()
