from support.labelled_smears import SOUND, draw_smear
from support.verified_folders import box, checks, found

from blood_cell_system.datasets.prepared import write_annotations
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.taxonomy import RBC


def test_a_cell_far_from_the_median_of_its_kind_is_a_warning(root):
    cells = {stem: draw_smear(number)[2] for number, stem in enumerate(SOUND)}
    cells["c"].append(box(RBC, 10, 10, 70, 70))
    write_annotations(root, cells)
    finding = found(verify_folder(root), "size-outlier")[0]
    assert finding.stems == ("c",)
    assert finding.regions == ((10.0, 10.0, 70.0, 70.0),)


def test_a_small_cell_that_the_edge_cuts_is_no_outlier(root):
    cells = {stem: draw_smear(number)[2] for number, stem in enumerate(SOUND)}
    cells["c"].append(box(RBC, 0, 10, 5, 30))
    write_annotations(root, cells)
    assert "size-outlier" not in checks(verify_folder(root))


def test_images_of_several_magnifications_are_a_warning(root):
    cells = {stem: draw_smear(number)[2] for number, stem in enumerate(SOUND)}
    cells["c"] = [box(RBC, x, y, x + 40, y + 40) for x, y in ((8, 8), (50, 8), (8, 50), (50, 50))]
    write_annotations(root, cells)
    (finding,) = found(verify_folder(root), "mixed-magnifications")
    assert "40 px in others (such as c)" in finding.message
