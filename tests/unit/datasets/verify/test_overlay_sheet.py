from PIL import Image

from blood_cell_system.datasets.verify.verification import overlay_sheet, verify_folder


def test_the_sheet_shows_faulty_images_first_and_bears_anything(root):
    (root / "images" / "a.png").write_text("nonsense")
    (root / "masks" / "b.png").unlink()
    (root / "masks" / "c.png").write_text("nonsense")
    mask = Image.open(root / "masks" / "d.png")
    mask.resize((100, 70)).save(root / "masks" / "d.png")
    sheet = overlay_sheet(verify_folder(root), at_most=4)
    assert sheet.shape[1] == 4 * 368 + 8
    # The first tile is framed in red, as it is an error.
    assert (sheet[35:, 8] == (176, 0, 32)).all(axis=1).any()


def test_a_sheet_of_a_sound_folder_shows_usual_images(root):
    assert overlay_sheet(verify_folder(root), at_most=2).shape[1] == 2 * 368 + 8


def test_a_sheet_of_an_empty_folder_says_so(tmp_path):
    assert overlay_sheet(verify_folder(tmp_path)).ndim == 3
