import numpy as np

from blood_cell_system.imaging import contact_sheet as text_module
from blood_cell_system.imaging.contact_sheet import text_strip


def ink(strip: np.ndarray) -> np.ndarray:
    return (strip < 128).any(axis=2)


def test_text_leaves_ink_on_the_strip():
    assert ink(text_strip("smear", 100)).sum() > 30


def test_a_long_text_is_cut_and_ends_inside_the_strip():
    strip = text_strip("a very long file name of a smear " * 5, 120)
    assert strip.shape[1] == 120
    assert not ink(strip)[:, -2:].any()


def test_every_text_of_a_size_makes_a_strip_of_the_same_height():
    assert text_strip("a", 50).shape == text_strip("Ägypten", 50).shape


def test_umlauts_are_spelt_out_where_no_font_has_them(monkeypatch):
    monkeypatch.setattr(text_module, "_wider_font", lambda size: None)
    assert (text_strip("Zählung", 100) == text_strip("Zaehlung", 100)).all()


def test_letters_without_any_spelling_become_question_marks(monkeypatch):
    monkeypatch.setattr(text_module, "_wider_font", lambda size: None)
    assert (text_strip("血", 60) == text_strip("?", 60)).all()
