from collections.abc import Mapping
from pathlib import Path

import pytest
from support.reader_contract import RED, SHAPE, Drawn, ReaderContract, draw_images

from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError

HEADER = "image_id,image,xmin,ymin,xmax,ymax,label"


def write_table(root: Path, *rows: str, header: str = HEADER) -> None:
    (root / "annotations.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")


class TestKaggle(ReaderContract):
    format_name = "kaggle"
    declares_sizes = False
    text_suffix = ".csv"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        height, width = SHAPE
        write_table(
            root,
            *(
                f"7,{drawn.reference},{box.x_min / width},{box.y_min / height},"
                f"{box.x_max / width},{box.y_max / height},{label}"
                for drawn in images.values()
                for label, box in drawn.marks
            ),
        )

    def test_a_table_of_pixels_is_told_by_its_numbers(self, root: Path):
        write_table(root, "7,a.png,5,5,25,25,rbc", "8,b.png,0,0,1,1,rbc")
        reading = self.read(root)
        assert reading.samples[0].cells[0].box == RED
        assert "too small" in reading.dropped[0].reason

    def test_columns_may_be_parted_by_semicolons_with_decimal_commas(self, root: Path):
        write_table(root, "7;a.png;5,5;5;25;25;rbc", header=HEADER.replace(",", ";"))
        assert self.read(root).samples[0].cells[0].box == Box(5.5, 5, 25, 25)

    @pytest.mark.parametrize("line_end", ["\r", "\r\n"])
    @pytest.mark.parametrize("before", ["", "sep=,\n", '"sep=,"\n'])
    def test_tables_of_spreadsheets_are_read(self, root: Path, line_end: str, before: str):
        text = f"{before}{HEADER}\n7,a.png,5,5,25,25,rbc\n8,b.png,5,5,25,25,rbc\n"
        (root / "annotations.csv").write_bytes(text.replace("\n", line_end).encode())
        assert self.read(root).samples[0].cells[0].box == RED

    def test_a_field_of_a_megabyte_is_located(self, root: Path):
        write_table(root, "7,a.png,5,5,25,25,rbc", f"8,b.png,5,5,25,25,{'x' * 1_000_000}")
        with pytest.raises(AnnotationError, match="line 3 is no row of a table"):
            self.read(root)

    @pytest.mark.parametrize("row", ["7,a.png,5,5,25", "7,a.png,5,5,wide,25,rbc"])
    def test_a_line_that_is_cut_off_fails_its_image_alone(self, root: Path, row: str):
        write_table(root, row, "8,b.png,5,5,25,25,rbc")
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        assert "annotations.csv: line 2: " in self.reason(reading, "a")

    def test_boxes_that_are_no_numbers_are_dropped_and_listed(self, root: Path):
        write_table(root, "7,a.png,5,5,nan,25,rbc", "8,b.png,5,5,25,25,rbc")
        (dropped,) = self.read(root).dropped
        assert (dropped.file, dropped.object_index) == ("annotations.csv", 1)
        assert "no numbers" in dropped.reason
