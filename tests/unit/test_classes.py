import pytest

from blood_cell_system.taxonomy import CELL_TYPES, MASK_CLASS, NOT_SCORED, NUM_CLASSES, MaskClass


def test_classes_are_the_channels_of_the_guide_in_its_order():
    assert [c.name for c in MaskClass] == ["BACKGROUND", "RBC", "WBC"]
    assert [int(c) for c in MaskClass] == list(range(NUM_CLASSES))


def test_not_scored_is_no_class():
    assert NOT_SCORED not in list(MaskClass)


def test_every_type_of_cell_has_a_class_in_the_mask():
    assert {str(t): MASK_CLASS[t].name for t in CELL_TYPES} == {
        "RBC": "RBC",
        "WBC": "WBC",
        "Platelet": "BACKGROUND",
    }


def test_the_table_of_classes_cannot_be_changed():
    with pytest.raises(TypeError):
        MASK_CLASS[CELL_TYPES[0]] = MaskClass.WBC
