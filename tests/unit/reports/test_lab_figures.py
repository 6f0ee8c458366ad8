"""The laboratory's figures, of made tables whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.colour_classifiers import PROVEN

from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.model_metadata import UnseenSource, Validation
from blood_cell_system.reports.figure_settings import EnteredCounts, FiguresSettings
from blood_cell_system.reports.lab_figures import Evidence, lab_figures
from blood_cell_system.reports.text import figure_words, number_words
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC, Subtype, Taxonomy

SHAPES = ("normal", "macrocyte", "schistocyte", "target_cell")


def with_shapes():
    """The built-in types, where red cells have shapes."""
    red = BUILT_IN[RBC]
    shapes = tuple(Subtype(name=name, display_name=f"{name}s") for name in SHAPES)
    others = tuple(one for one in BUILT_IN if one.name != RBC)
    return Taxonomy(
        (
            red.__class__(**{f: getattr(red, f) for f in red.__slots__} | {"subtypes": shapes}),
            *others,
        )
    )


def table(*rows, image="a", taxonomy=BUILT_IN, validation=None, **columns):
    """Whole counted cells: ``(count, type, condition, subtype)``, far from each other.

    All classes are proven by default.
    """
    cells = [row for count, *row in rows for _ in range(count)]
    total = len(cells)
    types, conditions, subtypes = ([row[i] for row in cells] for i in range(3))
    x = np.arange(total) * 1000.0
    data = {
        "cell_type": types,
        "condition": conditions,
        "subtype": subtypes,
        "is_known": np.ones(total, bool),
        "is_counted": np.ones(total, bool),
        "touches_border": np.zeros(total, bool),
        "reason": [None] * total,
        "flags": [()] * total,
        "whole_box": np.stack([x, np.zeros(total), x + 70, np.full(total, 70.0)], axis=1),
        "equivalent_diameter_area": np.full(total, 70.0),
        "equivalent_diameter_um": np.full(total, np.nan),
    }
    names = [one.name for one in (*taxonomy.conditions, *taxonomy.subtypes)]
    data |= {f"{name}_prob": np.zeros(total) for name in names}
    empty = Cells(
        label_image=np.zeros((0, 0), np.int32),
        taxonomy=taxonomy,
        validation=dict.fromkeys(names, PROVEN) if validation is None else validation,
    )
    return Cells.joined({image: empty.with_columns(**data | columns)})


def joined(*tables):
    return Cells.joined({cells["image"][0]: cells for cells in tables})


def white(count, subtype="neutrophil", condition="healthy_WBC"):
    return count, WBC, condition, subtype


BLASTS = (WBC, "cancer_WBC", None)
HEALTHY = (RBC, "healthy_RBC", None)
SICK = (RBC, "malaria_RBC", None)
PLATELETS = (PLATELET, None, None)


def figures(cells, areas=None, entered=None, **settings):
    evidence = Evidence(
        cells=cells, areas_um2=areas or {"a": None}, entered=EnteredCounts(**entered or {})
    )
    found = lab_figures(evidence, FiguresSettings.model_validate(settings))
    assert len({figure.name for figure in found}) == len(found)
    return {figure.name: figure for figure in found}


def without(cells, *names):
    kept = {name: cells[name] for name in cells if name not in names}
    return replace(cells, data=kept)


# Differential


def test_the_differential_is_one_list_of_100_per_cent():
    cells = table(
        white(60),
        white(20, "lymphocyte"),
        white(5, "immature_granulocyte"),
        white(30, "erythroblast"),
        (15, *BLASTS),
    )
    found = [one for one in figures(cells).values() if one.group == "differential"]
    assert [one.name for one in found] == [
        "neutrophil",
        "lymphocyte",
        "monocyte",
        "eosinophil",
        "basophil",
        "immature_granulocyte",
        "cancer_WBC",
    ]
    assert sum(one.value for one in found) == pytest.approx(100)
    assert [one.value for one in found] == [60, 20, 0, 0, 0, 5, 15]
    assert {one.total for one in found} == {100}
    assert found[0].note == "200 cells are better: 100 were counted"
    assert found[-1].label == "blast-like cells"


def test_a_condition_that_failed_elsewhere_is_not_given():
    failed = Validation(sources=(UnseenSource(source="a", auroc=0.5),))
    proven = {"neutrophil": PROVEN, "cancer_WBC": failed}
    found = figures(table(white(60), white(60, "lymphocyte"), validation=proven))
    words = "not validated outside its laboratory (AUROC 0.50 in 1 laboratory never seen)"
    assert (found["cancer_WBC"].value, found["cancer_WBC"].note) == (None, words)
    assert found["neutrophil"].value == 50
    assert found["neutrophil"].proof.startswith("proven in 2 laboratories never seen")
    assert found["lymphocyte"].proof == "not measured outside its laboratory"


def test_doubt_and_false_alarms_are_no_figure():
    doubtful = table((980, *HEALTHY), (20, *SICK), flags=[("uncertain",)] * 1000)
    found = figures(doubtful)["malaria_RBC"]
    assert found.value is None
    assert found.note == "all 20 cells called so are not sure: look at them"
    measured = {"sensitivity": 0.8, "false_alarm_rate": 0.01, "positives": 300, "negatives": 900}
    known = Validation(sources=(UnseenSource(source="a", auroc=0.97, **measured),))
    few = table((980, *HEALTHY), (20, *SICK), validation={"malaria_RBC": known})
    found = figures(few)["malaria_RBC"]
    assert found.value is None
    assert found.note == "20 of 1,000: within false alarms, not distinguishable from none"
    many = table((500, *HEALTHY), (500, *SICK), validation={"malaria_RBC": known})
    low, high = figures(many)["malaria_RBC"].interval_95
    assert low < 62 < high


def test_99_white_cells_are_not_enough_for_a_differential():
    neutrophil = figures(table(white(99)))["neutrophil"]
    assert (neutrophil.value, neutrophil.note) == (None, "not enough cells: 99 of 100")
    assert str(figure_words(neutrophil)) == "neutrophils: not given: not enough cells: 99 of 100"


def test_from_200_cells_on_nothing_is_remarked():
    assert figures(table(white(200)))["neutrophil"].note == ""


def test_without_a_classifier_of_types_there_is_no_differential():
    cells = table((200, WBC, None, None))
    cells = without(cells, *(f"{one.name}_prob" for one in BUILT_IN[WBC].subtypes))
    found = figures(cells)
    assert found["differential"].note == "not assessed: no classifier of white-cell types"
    assert found["nucleated_red_cells"].note == "not assessed: no classifier of white-cell types"


@pytest.mark.parametrize(
    "name", ["differential", "nucleated_red_cells", "parasitaemia", "red_cell_shapes"]
)
def test_figures_of_a_grey_image_say_that_it_has_no_colour(name):
    cells = table((200, WBC, None, None), (800, RBC, None, None))
    grey = without(cells, *(name for name in cells if name.endswith("_prob")))
    grey = grey.with_columns(reason=[Reason.NO_COLOUR] * len(grey))
    assert figures(grey)[name].note.startswith("not assessed: the image has no colour")


# Nucleated red cells


def test_nucleated_red_cells_are_counted_beside_100_white_cells():
    nrbc = figures(table(white(200), white(30, "erythroblast")))["erythroblast"]
    assert (nrbc.value, nrbc.count, nrbc.total) == (15, 30, 200)
    share = stats.binomtest(30, 230).proportion_ci(method="wilson")
    odds = [100 * end / (1 - end) for end in share]
    assert nrbc.interval_95 == pytest.approx(odds)
    assert "30 beside 200" in str(figure_words(nrbc))


def test_more_nucleated_red_cells_than_white_ones_are_no_fault():
    assert figures(table(white(100), white(300, "erythroblast")))["erythroblast"].value == 300


def test_the_white_count_is_corrected_from_5_on():
    entered = {"white_cells_per_ul": 17_400}
    eight = table(white(200), white(16, "erythroblast"))
    corrected = figures(eight, entered=entered)["corrected_white_cells"]
    assert corrected.value == pytest.approx(16_111, abs=1)
    assert corrected.interval_95[0] < corrected.value < corrected.interval_95[1] < 17_400
    four = table(white(200), white(8, "erythroblast"))
    uncorrected = figures(four, entered=entered)["corrected_white_cells"]
    assert uncorrected.value is None
    assert uncorrected.note.startswith("no correction: fewer than 5 nucleated")


def test_without_a_white_count_there_is_nothing_to_correct():
    cells = table(white(200), white(16, "erythroblast"))
    assert figures(cells)["corrected_white_cells"].note.startswith("no white count: enter one")


# Counts per microlitre


COUNTED = table((1000, *HEALTHY), white(10), (80, *PLATELETS))


def test_counts_by_field_need_factor_area_and_pixel_size():
    by_field = "platelets_per_ul_by_field"
    settings = {"platelets": {"factor": 15_000, "field_area_um2": 30_000}}
    found = figures(COUNTED, {"a": 120_000.0}, **settings)[by_field]
    # 80 platelets in the area of four fields: 20 a field.
    assert found.value == pytest.approx(300_000)
    assert found.interval_95[0] < 300_000 < found.interval_95[1]
    assert figures(COUNTED, {"a": 120_000.0})[by_field].note.startswith("no factor: enter that")
    assert figures(COUNTED, {"a": None}, **settings)[by_field].note == (
        "the area of a field is not known: give the pixel size"
    )


def test_fields_without_such_cells_count_with_their_area():
    settings = {"white_cells": {"factor": 2_000, "field_area_um2": 10_000}}
    areas = {"a": 20_000.0, "empty": 20_000.0}
    found = figures(COUNTED, areas, **settings)["white_cells_per_ul_by_field"]
    assert found.value == pytest.approx(2.5 * 2_000)


def test_counts_by_red_cells_need_the_red_count():
    by_ratio = "white_cells_per_ul_by_red_cells"
    found = figures(COUNTED, entered={"red_cells_per_ul": 4_500_000})[by_ratio]
    assert found.value == pytest.approx(45_000)
    assert figures(COUNTED)[by_ratio].note == "no red count: enter that of an analyser"
    few = table((499, *HEALTHY), white(10))
    found = figures(few, entered={"red_cells_per_ul": 4_500_000})[by_ratio]
    assert found.note == "not enough cells: 499 of 500"


def test_platelets_are_counted_beside_100_red_cells():
    found = figures(COUNTED)["platelets_per_100_red_cells"]
    assert (found.value, found.unit) == (8, "per 100")


def near(count, cell_type, step, *, breadth=0.0, image="a"):
    """Cells of 70 px in a row, ``step`` apart, alternately ``breadth`` to the side."""
    x, y = np.arange(count) * step, np.arange(count) % 2 * breadth
    boxes = np.stack([x, y, x + 70, y + 70], axis=1)
    condition = None if cell_type == PLATELET else "healthy_RBC"
    return table((count, cell_type, condition, None), image=image, whole_box=boxes)


def test_platelets_that_touch_are_a_clump():
    cells = joined(
        near(4, PLATELET, 80), near(2, PLATELET, 80, image="b"), near(1, RBC, 0, image="c")
    )
    found = figures(cells)["platelet_clumps"]
    assert (found.value, found.count, found.total) == (1, 4, 6)
    assert found.note == "4 platelets lie in clumps: counts are too low"


def test_platelets_apart_are_no_clump():
    assert figures(near(10, PLATELET, 100))["platelet_clumps"].value == 0


# Parasites


def test_parasitaemia_and_parasites_per_microlitre():
    cells = table((980, *HEALTHY), (20, *SICK))
    found = figures(cells, entered={"red_cells_per_ul": 5_000_000})
    assert found["malaria_RBC"].value == 2
    assert found["malaria_RBC"].note == ""
    assert found["parasites_per_ul"].value == pytest.approx(100_000)
    assert found["parasites_per_ul"].interval_95[0] > 60_000
    assert figures(cells)["parasites_per_ul"].note == "no red count: enter that of an analyser"


def test_gametocytes_are_no_part_of_parasitaemia():
    cells = table(
        (950, *HEALTHY),
        (20, *SICK),
        (10, RBC, "malaria_RBC", "ring"),
        (20, RBC, "malaria_RBC", "gametocyte"),
    )
    share = figures(cells)["malaria_RBC"]
    assert (share.count, share.total, share.value) == (30, 1000, pytest.approx(3.0))
    assert "20 with gametocytes are left out" in share.note


def test_stages_of_parasites_are_no_shapes():
    cells = table((500, RBC, "healthy_RBC", "normal"), (20, RBC, "malaria_RBC", "ring"))
    found = figures(cells)
    assert "ring" not in found
    assert found["normal"].total == 500


def test_499_red_cells_are_not_enough_and_500_are_few():
    assert figures(table((499, *SICK)))["parasites_per_ul"].note == "not enough cells: 499 of 500"
    found = figures(table((500, *SICK)))["malaria_RBC"]
    assert (found.value, found.note) == (100, "1,000 cells are better: 500 were counted")


def test_without_a_classifier_of_red_cells_there_is_no_parasitaemia():
    cells = without(table((900, *HEALTHY)), "malaria_RBC_prob")
    assert figures(cells)["parasitaemia"].note == "not assessed: no classifier of red cells"


# Size, colour, shape


def sized(diameters, *, um=None):
    columns = {"equivalent_diameter_area": diameters}
    if um is not None:
        columns["equivalent_diameter_um"] = np.asarray(diameters) * um
    return table((len(diameters), *HEALTHY), **columns)


def test_sizes_are_compared_with_the_smears_own_median():
    found = figures(sized([70.0] * 90 + [90.0] * 6 + [50.0] * 4))
    assert (found["red_cell_diameter"].value, found["red_cell_diameter"].unit) == (70, "px")
    assert found["large_red_cells"].value == 6
    assert found["small_red_cells"].value == 4
    spread = np.std([70.0] * 90 + [90.0] * 6 + [50.0] * 4) / 70.4
    assert found["red_cell_diameter_spread"].value == pytest.approx(100 * spread)
    assert "not RDW" in found["red_cell_diameter_spread"].label


def test_sizes_are_compared_with_a_normal_range_that_was_entered():
    cells = sized([70.0] * 60 + [90.0] * 40, um=0.1)
    found = figures(cells, red_cell_size={"normal_um": [6.5, 8.5]})
    assert (found["red_cell_diameter"].value, found["red_cell_diameter"].unit) == (7, "µm")
    assert (found["large_red_cells"].value, found["small_red_cells"].value) == (40, 0)
    assert "against 6.5 to 8.5 µm" in found["large_red_cells"].label


def test_a_normal_range_in_um_needs_the_pixel_size():
    found = figures(sized([70.0] * 100), red_cell_size={"normal_um": [6.5, 8.5]})
    assert found["large_red_cells"].note.startswith("the pixel size is not known")


def test_cells_that_the_border_cuts_off_have_no_size():
    cells = sized([70.0] * 150)
    cells = cells.with_columns(touches_border=[True] * 51 + [False] * 99)
    assert figures(cells)["red_cell_diameter"].note == "not enough cells: 99 of 100"


def test_covered_cells_have_no_size():
    cells = sized([70.0] * 150).with_columns(reason=[Reason.COVERED] * 51 + [None] * 99)
    assert figures(cells)["red_cell_diameter"].note == "not enough cells: 99 of 100"


def test_cells_that_touch_others_have_no_size():
    cells = sized([90.0] * 200 + [70.0] * 100).with_columns(touching_cells=[1] * 200 + [0] * 100)
    found = figures(cells)
    assert (found["red_cell_diameter"].value, found["red_cell_diameter"].total) == (70, 100)
    assert (found["large_red_cells"].count, found["large_red_cells"].total) == (0, 100)
    few = cells.with_columns(touching_cells=[1] * 201 + [0] * 99)
    assert figures(few)["red_cell_diameter"].note == "not enough cells: 99 of 100"


def test_the_size_of_several_fields_has_an_interval():
    fields = [sized([60.0 + 4 * i] * 50) for i in range(5)]
    cells = Cells.joined({str(i): cells for i, cells in enumerate(fields)})
    low, high = figures(cells)["red_cell_diameter"].interval_95
    assert low < 68 < high
    assert figures(sized([70.0] * 100))["red_cell_diameter"].interval_95 is None


def test_hypochromia_is_a_large_pallor():
    pallor = [0.4] * 30 + [0.1] * 70 + [np.nan] * 9
    found = figures(table((109, *HEALTHY), pallor_area_share=pallor))["hypochromic_red_cells"]
    assert (found.value, found.total) == (30, 100)
    without_measure = figures(table((109, *HEALTHY)))["hypochromia"]
    assert without_measure.note == "the central pallor was not measured"


def shaped(**counts):
    rows = [(count, RBC, "healthy_RBC", name) for name, count in counts.items()]
    return table(*rows, taxonomy=with_shapes())


def test_shapes_have_shares_and_the_grades_of_the_settings():
    cells = shaped(normal=860, target_cell=80, schistocyte=15, macrocyte=45)
    grades = {"target_cell": {"2+": 5, "3+": 20}, "macrocyte": {"2+": 11, "3+": 20}}
    found = figures(cells, red_cell_shapes={"grades": grades})
    assert (found["target_cell"].value, found["target_cell"].grade) == (8, "2+")
    assert found["macrocyte"].grade is None
    assert found["schistocyte"].note.startswith("above 1 %: suspicious (ICSH")
    assert "target_cells: 8.0 %, 2+ (95 %: " in str(figure_words(found["target_cell"]))


def test_no_grade_is_given_by_default():
    found = figures(shaped(normal=500, target_cell=500))
    assert found["target_cell"].grade is None


def test_without_a_classifier_of_shapes_there_are_none():
    cells = without(table((900, *HEALTHY)), *(f"{one.name}_prob" for one in BUILT_IN[RBC].subtypes))
    note = figures(cells)["red_cell_shapes"].note
    assert note == "not assessed: no classifier of red-cell shapes"


# Rouleaux


def test_red_cells_in_a_roll_are_rouleaux():
    cells = joined(near(6, RBC, 20), near(100, RBC, 100, image="b"))
    found = figures(cells)["rouleaux"]
    assert (found.count, found.total) == (6, 106)


@pytest.mark.parametrize(
    "cells",
    [near(3, RBC, 20), near(6, RBC, 70), near(6, RBC, 20, breadth=60)],
    ids=["three", "only touching", "a heap"],
)
def test_other_neighbours_are_no_rouleaux(cells):
    assert figures(cells, rouleaux={"min_cells": 1})["rouleaux"].count == 0


# All


def test_every_group_can_be_switched_off():
    groups = [name for name in FiguresSettings.model_fields if name != "counts"]
    cells = table((900, *HEALTHY), white(120), (50, *PLATELETS))
    assert {figure.group for figure in figures(cells).values()} == set(groups)
    for name in groups:
        left = {one.group for one in figures(cells, **{name: {"is_reported": False}}).values()}
        assert left == set(groups) - {name}


def test_figures_of_fields_that_differ_have_wider_intervals():
    alike = [table((95, *HEALTHY), (5, *SICK), image=str(i)) for i in range(8)]
    unlike = [
        table((80 + 20 * (i > 1), *HEALTHY), (20 * (i < 2), *SICK), image=str(i)) for i in range(8)
    ]
    widths = []
    for tables in (alike, unlike):
        found = figures(joined(*tables))["malaria_RBC"]
        assert found.value == 5
        widths.append(found.interval_95[1] - found.interval_95[0])
    assert widths[1] > 3 * widths[0]


def test_every_figure_has_a_source_where_it_has_a_value():
    cells = table((900, *HEALTHY), white(120), (50, *PLATELETS))
    assert all(one.source for one in figures(cells).values() if one.value is not None)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(9.96, "%", "10"), (0.0004, "%", "0.00040"), (1234.0, "per 100", "1,234"), (95, "/µL", "95")],
)
def test_numbers_have_sensible_digits(value, unit, words):
    assert number_words(value, unit) == words
