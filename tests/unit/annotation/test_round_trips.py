"""What is written in a format comes back from it, whatever it is."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.written_labels import assert_same_sample, samples, with_images

from blood_cell_system.annotation.format_registry import read_folder, recognise, writable_formats
from blood_cell_system.annotation.sample import CellFacts
from blood_cell_system.annotation.writer import (
    OutlineForm,
    WriteStyle,
    write_labels,
)

FORMS = st.sampled_from([OutlineForm.POLYGONS, OutlineForm.MASKS])
# Fractions are rounded: a polygon right through the middle of a pixel may take it or leave it.
KINDS = {"yolo": ("pixels", "box")}
FEWER = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])


def written_and_read(drawn, format_name, style=None):
    with TemporaryDirectory() as folder:
        images = with_images(drawn, Path(folder, "images"))
        output = Path(folder, "written")
        write_labels(images, output, format_name=format_name, style=style)
        assert recognise(output)[0].reader.name == format_name
        reading = read_folder(output)
    assert reading.failed == ()
    assert reading.dropped == ()
    return reading.samples


@pytest.mark.parametrize("format_name", tuple(writable_formats()))
@FEWER
@given(data=st.data(), form=FORMS)
def test_all_that_a_format_can_hold_comes_back(format_name, data, form):
    kinds = KINDS.get(format_name, ("pixels", "polygon", "box", "point"))
    drawn = data.draw(samples(kinds))
    found = written_and_read(drawn, format_name, WriteStyle(outlines=form))
    for sample, expected in zip(found, drawn, strict=True):
        assert_same_sample(sample, expected)


@pytest.mark.parametrize("format_name", tuple(writable_formats()))
@FEWER
@given(data=st.data())
def test_boxes_alone_come_back_as_boxes(format_name, data):
    drawn = data.draw(samples(("pixels", "box")))
    found = written_and_read(drawn, format_name, WriteStyle(outlines=OutlineForm.BOXES))
    for sample, expected in zip(found, drawn, strict=True):
        assert all(cell.outline is None for cell in sample.cells)
        for cell, other in zip(sample.cells, expected.cells, strict=True):
            assert cell.box == pytest.approx(other.box, abs=2e-3)


@FEWER
@given(drawn=samples(("polygon",)))
def test_corners_of_polygons_come_back_from_fractions(drawn):
    for sample, expected in zip(written_and_read(drawn, "yolo"), drawn, strict=True):
        for cell, other in zip(sample.cells, expected.cells, strict=True):
            np.testing.assert_allclose(cell.outline.rings, other.outline.rings, atol=1e-6)


FACTS = CellFacts(
    condition="malaria_RBC",
    subtype="target",
    confidence=0.75,
    measures={"area": 812.0, "optical_density_mean_red": 0.125},
)


@pytest.mark.parametrize("format_name", ["labelme", "cvat", "coco", "geojson", "labelstudio"])
@FEWER
@given(drawn=samples(("pixels", "polygon", "box")))
def test_classes_confidence_and_measures_come_back(format_name, drawn):
    known = [
        replace(one, cells=tuple(replace(cell, facts=FACTS) for cell in one.cells)) for one in drawn
    ]
    for sample, expected in zip(written_and_read(known, format_name), drawn, strict=True):
        assert [cell.facts for cell in sample.cells] == [FACTS] * len(expected.cells)
