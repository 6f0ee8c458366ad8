import numpy as np
import pytest

from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet


def tile(value: int, height: int = 48, width: int = 64, **options) -> Tile:
    image = np.full((height, width, 3), value, dtype=np.uint8)
    return Tile(image=image, caption="", **options)


def test_images_stand_in_the_order_given_row_by_row():
    sheet = contact_sheet([tile(10), tile(20), tile(30)], columns=2, tile_width=64)
    assert (sheet[8 + 24, 8 + 32] == 10).all()
    assert (sheet[8 + 24, 80 + 32] == 20).all()
    assert (sheet[64 + 24, 8 + 32] == 30).all()


def test_images_of_different_sizes_and_shapes_fit_their_columns():
    tiles = [tile(0, 480, 640), tile(0, 900, 30), tile(0, 3, 5)]
    sheet = contact_sheet(tiles, columns=3, tile_width=100)
    assert sheet.shape[1] == 3 * 108 + 8
    assert sheet.shape[0] == 8 + 125 + 8


def test_a_bad_tile_is_framed_and_a_good_one_is_not():
    good, bad = (contact_sheet([tile(200, is_bad=flag)], tile_width=64) for flag in (False, True))
    assert (good[8:56, 8:72] == 200).all()
    assert (bad[8, 8:72] != 200).any(axis=1).all()


def test_a_caption_of_two_lines_makes_room_for_both():
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    heights = [
        contact_sheet([Tile(image=image, caption=caption)], tile_width=64).shape[0]
        for caption in ("", "one", "one\ntwo")
    ]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 10


def test_a_sheet_without_images_is_still_an_image():
    assert contact_sheet([], tile_width=200).shape[0] > 10


@pytest.mark.parametrize("options", [{"columns": 0}, {"tile_width": 0}])
def test_a_sheet_of_no_size_is_refused(options):
    with pytest.raises(ValueError, match="1 or more"):
        contact_sheet([tile(0)], **options)
