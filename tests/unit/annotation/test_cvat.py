from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from support.reader_contract import (
    RED,
    SHAPE,
    Drawn,
    ReaderContract,
    draw_images,
)

from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.run_lengths import counts_of_mask
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError

HEIGHT, WIDTH = SHAPE
SQUARE = "10,10;30,10;30,30;10,30"
BOX = '<box label="RBC" occluded="0" xtl="5" ytl="5" xbr="25" ybr="25" z_order="0"/>'


def image(shapes, *, name="a.png", size=SHAPE, more=""):
    return (
        f'<image id="0" name={quoteattr(name)} width="{size[1]}" height="{size[0]}"{more}>'
        f"{shapes}</image>"
    )


def write_xml(root, *images, before="", after=""):
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>{before}<annotations><version>1.1</version>'
        f"<meta><task><name>smears</name></task></meta>{''.join(images)}{after}</annotations>"
    )
    (root / "annotations.xml").write_text(text, encoding="utf-8")


def write_shapes(root, *shapes, **more):
    write_xml(root, image("".join(shapes), **more), image(BOX, name="b.png"))


def polygon(points=SQUARE, *, label="RBC", more="", inner=""):
    return f'<polygon label="{label}" points="{points}" {more}>{inner}</polygon>'


def mask(pixels, *, left, top, rle=None):
    height, width = pixels.shape
    counts = ", ".join(map(str, counts_of_mask(pixels)))
    return (
        f'<mask label="RBC" rle="{counts if rle is None else rle}" left="{left}" top="{top}" '
        f'width="{width}" height="{height}"/>'
    )


class TestCvat(ReaderContract):
    format_name = "cvat"
    text_suffix = ".xml"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        write_xml(
            root,
            *(
                image(
                    "".join(
                        f'<box label="{label}" xtl="{box.x_min}" ytl="{box.y_min}" '
                        f'xbr="{box.x_max}" ybr="{box.y_max}"/>'
                        for label, box in drawn.marks
                    ),
                    name=drawn.reference,
                    size=drawn.declared,
                )
                for drawn in images.values()
            ),
        )

    def cells(self, root: Path):
        return self.read(root).samples[0].cells

    def test_a_polygon_comes_with_its_corners(self, root: Path):
        write_shapes(root, polygon())
        corners = [[10, 10], [30, 10], [30, 30], [10, 30]]
        assert self.cells(root)[0].outline == PolygonOutline.from_points(corners)

    def test_an_ellipse_has_its_axes_and_its_area(self, root: Path):
        write_shapes(root, '<ellipse label="RBC" cx="40" cy="30" rx="15" ry="10"/>')
        (cell,) = self.cells(root)
        assert cell.box == pytest.approx((25, 20, 55, 40), abs=0.1)
        assert cell.outline.window(SHAPE)[2].sum() == pytest.approx(np.pi * 150, rel=0.02)

    def test_an_ellipse_that_was_turned_is_turned(self, root: Path):
        write_shapes(root, '<ellipse label="RBC" cx="40" cy="30" rx="15" ry="10" rotation="90"/>')
        assert self.cells(root)[0].box == pytest.approx((30, 15, 50, 45), abs=0.1)

    def test_a_box_that_was_turned_is_an_outline(self, root: Path):
        write_shapes(root, '<box label="RBC" xtl="20" ytl="20" xbr="40" ybr="30" rotation="90.0"/>')
        (cell,) = self.cells(root)
        assert cell.outline is not None
        assert cell.box == pytest.approx((25, 15, 35, 35))

    def test_a_mask_runs_along_the_rows_of_its_box(self, root: Path):
        pixels = np.tri(12, 9, dtype=bool)
        write_shapes(root, mask(pixels, left=20, top=30))
        expected = PixelOutline.from_pixels(pixels, offset=(20, 30))
        assert self.cells(root)[0].outline == expected

    def test_each_of_the_points_is_the_centre_of_a_cell(self, root: Path):
        write_shapes(root, '<points label="RBC" points="10.5,11;40,41.5"/>')
        assert [cell.point for cell in self.cells(root)] == [(10.5, 11), (40, 41.5)]

    def test_polygons_of_one_group_are_one_cell_and_that_is_told(self, root: Path):
        write_shapes(
            root,
            polygon(more='group_id="3"'),
            polygon("40,10;60,10;60,30", more='group_id="3"'),
            polygon("70,40;90,40;90,50"),
        )
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 2
        assert "1 outlines have the group" in reading.notes[0]

    def test_a_shape_marked_as_difficult_is_not_scored(self, root: Path):
        write_shapes(root, polygon(inner='<attribute name="difficult">true</attribute>'))
        sample = self.read(root).samples[0]
        assert (sample.cells, len(sample.unscored)) == ((), 1)

    def test_the_subset_of_an_image_is_its_split(self, root: Path):
        write_shapes(root, BOX, more=' subset="Validation"')
        assert self.read(root).samples[0].split == Split.VAL

    def test_an_image_without_shapes_has_no_cells(self, root: Path):
        write_shapes(root)
        assert self.cells(root) == ()

    def test_numbers_that_count_from_one_are_moved_when_that_is_told(self, root: Path):
        write_shapes(root, '<box label="RBC" xtl="6" ytl="6" xbr="26" ybr="26"/>')
        assert self.read(root, first_pixel=1).samples[0].cells[0].box == RED

    def test_pixels_of_a_mask_stay_whatever_the_first_pixel_is_called(self, root: Path):
        write_shapes(root, mask(np.ones((8, 8), bool), left=20, top=30))
        box = self.read(root, first_pixel=1).samples[0].cells[0].box
        assert box == Box(20, 30, 28, 38)

    def test_a_polygon_of_two_points_is_dropped_and_listed(self, root: Path):
        write_shapes(root, polygon("10,10;30,30"), BOX)
        reading = self.read(root)
        assert [cell.box for cell in reading.samples[0].cells] == [RED]
        assert "2 different corners" in reading.dropped[0].reason

    def test_a_line_is_dropped_and_listed(self, root: Path):
        write_shapes(root, '<polyline label="RBC" points="1,1;20,20"/>', BOX)
        assert "neither box nor outline nor point" in self.read(root).dropped[0].reason

    def test_a_polygon_that_crosses_itself_is_read_and_told(self, root: Path):
        write_shapes(root, polygon("10,10;30,30;30,10;10,30"))
        assert "cross themselves" in self.read(root).notes[0]

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            (BOX.replace('xtl="5"', 'xtl="left"'), "is no number"),
            (BOX.replace(' xbr="25"', ""), "'xbr' is missing"),
            (BOX.replace('label="RBC"', ""), "'label' is missing"),
            (polygon("10;20"), "more or fewer values"),
            ('<ellipse label="RBC" cx="40" cy="30" rx="inf" ry="10"/>', "an ellipse at"),
            (mask(np.ones((4, 5), bool), left=0, top=0, rle="0, 19"), "add up to 19"),
            (mask(np.ones((4, 5), bool), left=0, top=0, rle="0, x"), "is no number"),
            (mask(np.ones((4, 500), bool), left=0, top=0), "one that fits"),
        ],
    )
    def test_a_shape_that_cannot_be_read_fails_its_image_alone(self, root: Path, shape, words):
        write_shapes(root, shape)
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        reason = self.reason(reading, "a")
        assert "annotations.xml: a.png: object 1: " in reason
        assert words in reason

    def test_an_image_without_a_size_has_its_own(self, root: Path):
        write_xml(root, '<image id="0" name="a.png"/>', image(BOX, name="b.png"))
        assert [sample.stem for sample in self.read(root).samples] == ["a", "b"]

    def test_entities_are_refused(self, root: Path):
        attack = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;">]>'
        write_xml(root, image(BOX), before=attack)
        with pytest.raises(AnnotationError, match="entities or a document type"):
            self.read(root)

    def test_a_file_that_is_cut_off_is_refused(self, root: Path):
        text = (root / "annotations.xml").read_text()
        (root / "annotations.xml").write_text(text[:-9])
        with pytest.raises(AnnotationError, match="not XML, or cut off"):
            self.read(root)

    def test_an_export_for_video_is_refused(self, root: Path):
        write_xml(root, after='<track id="0" label="RBC"/>')
        with pytest.raises(AnnotationError, match="CVAT for images"):
            self.read(root)

    def test_a_folder_without_annotations_is_refused(self, tmp_path: Path):
        draw_images(tmp_path)
        with pytest.raises(DatasetError, match=r"expected annotations\.xml of CVAT"):
            self.read(tmp_path)
