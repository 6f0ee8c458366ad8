import numpy as np
from support.fields import drawn_fields

from blood_cell_system.datasets.duplicates.groups import field_print, hash_of_pixels


def test_equal_numbers_in_another_shape_are_another_image():
    pixels = np.arange(24, dtype=np.uint8)
    assert hash_of_pixels(pixels.reshape(4, 6)) != hash_of_pixels(pixels.reshape(6, 4))


def test_every_second_column_of_an_array_has_the_hash_of_its_copy():
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)[:, ::2]
    assert hash_of_pixels(pixels) == hash_of_pixels(pixels.copy())


def test_a_print_is_a_few_kilobytes():
    described = field_print(drawn_fields(1)[0])
    assert described.fingerprint.nbytes + described.view.nbytes < 8192


def test_an_image_of_nothing_is_known_by_its_pixels_alone():
    nothing = field_print(np.full((90, 120, 3), 200, dtype=np.uint8))
    assert nothing.fingerprint is None
    assert nothing.view is None
    assert nothing.pixel_hash
