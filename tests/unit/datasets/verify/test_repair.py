import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.labelled_smears import (
    HEIGHT,
    SOUND,
    WIDTH,
    draw_smear,
    write_by_hand,
    write_prepared,
    write_sound_folder,
)

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.datasets.verify.repair import RepairSummary, write_repaired_copy
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.errors import DatasetError, OutputError, SettingsError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED, PLATELET


@pytest.fixture
def root(tmp_path) -> Path:
    return write_sound_folder(tmp_path / "data")


def repair(root: Path) -> tuple[RepairSummary, Path]:
    output = root.parent / "repaired"
    return write_repaired_copy(root, output, verify_folder(root)), output


def opened(output: Path) -> dict:
    return {image.stem: image for image in PreparedDataset.open(output).images}


def what_changed(summary: RepairSummary, stem: str) -> str:
    return "; ".join(change.what for change in summary.changes if change.stem == stem)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_sound_folder_is_copied_without_changes(root):
    summary, output = repair(root)
    assert summary.changes == ()
    original, copy = contents(root), contents(output)
    assert {name: copy[name] for name in original if name.endswith(".png")} == {
        name: data for name, data in original.items() if name.endswith(".png")
    }
    assert verify_folder(output).findings == ()


def save_mask(root: Path, stem: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(root / "masks" / f"{stem}.png")


def halved(class_mask: np.ndarray) -> np.ndarray:
    return encode_class_mask(class_mask)[::2, ::2]


def with_alpha(class_mask: np.ndarray) -> np.ndarray:
    return np.dstack([encode_class_mask(class_mask), (class_mask > 0).astype(np.uint8) * 255])


EXACT = {
    "0 and 1": lambda m: encode_class_mask(m) // 255,
    "class numbers": lambda m: m,
    "class numbers in RGB": lambda m: np.dstack([m] * 3),
    "transparency": with_alpha,
    "twice the size": lambda m: encode_class_mask(m).repeat(2, axis=0).repeat(2, axis=1),
}


@pytest.mark.parametrize("fault", EXACT)
def test_a_mask_whose_meaning_is_certain_is_repaired_exactly(root, fault):
    truth = draw_smear(0)[1]
    save_mask(root, "a", EXACT[fault](truth))
    assert not verify_folder(root).is_ok
    summary, output = repair(root)
    assert (opened(output)["a"].read()[1] == truth).all()
    assert "mask" in what_changed(summary, "a")
    assert verify_folder(output).findings == ()


def test_a_mask_of_half_the_size_is_scaled_up(root):
    truth = draw_smear(0)[1]
    save_mask(root, "a", halved(truth))
    _, output = repair(root)
    assert (opened(output)["a"].read()[1] == truth).mean() > 0.97


def test_a_jpeg_mask_becomes_a_png_in_the_format(root):
    truth = draw_smear(0)[1]
    (root / "masks" / "a.png").unlink()
    Image.fromarray(encode_class_mask(truth)).save(root / "masks" / "a.jpg", quality=80)
    _, output = repair(root)
    repaired = opened(output)["a"].read()[1]
    assert (repaired == truth)[repaired != NOT_SCORED].mean() > 0.99
    assert verify_folder(output).findings == ()


def test_a_clean_mask_in_a_lossy_file_is_written_as_png(root):
    (root / "masks" / "a.png").unlink()
    mask = encode_class_mask(draw_smear(0)[1])
    Image.fromarray(mask).save(root / "masks" / "a.webp", lossless=True)
    summary, output = repair(root)
    assert what_changed(summary, "a") == "mask written as PNG in place of .webp"
    assert (output / "masks" / "a.png").is_file()


def test_pixels_with_several_classes_are_no_longer_scored(root):
    rgb = encode_class_mask(draw_smear(0)[1])
    rgb[:5, :5] = 255
    save_mask(root, "a", rgb)
    _, output = repair(root)
    assert (opened(output)["a"].read()[1][:5, :5] == NOT_SCORED).all()
    assert verify_folder(output).is_ok


def test_a_black_gray_mask_among_index_masks_becomes_background(root):
    save_mask(root, "a", np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    save_mask(root, "b", draw_smear(1)[1])
    write_annotations(root, {})
    _, output = repair(root)
    assert (opened(output)["a"].read()[1] == 0).all()


def damage_beyond_repair(root: Path, stem: str, how: str) -> None:
    mask, image = root / "masks" / f"{stem}.png", root / "images" / f"{stem}.png"
    if how == "no mask":
        mask.unlink()
    elif how == "no image":
        image.unlink()
    elif how == "truncated image":
        image.write_bytes(image.read_bytes()[:500])
    elif how == "unreadable mask":
        mask.write_text("nonsense")
    elif how == "foreign mask":
        save_mask(root, stem, np.where(draw_smear(0)[1] > 0, 255, 0).astype(np.uint8))
    elif how == "another size":
        save_mask(root, stem, encode_class_mask(np.zeros((70, 100), dtype=np.uint8)))
    elif how == "nothing scored":
        save_mask(root, stem, np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    elif how == "two of one name":
        Image.open(image).save(image.with_suffix(".jpg"))


@pytest.mark.parametrize(
    "how",
    [
        "no mask",
        "no image",
        "truncated image",
        "unreadable mask",
        "foreign mask",
        "another size",
        "nothing scored",
        "two of one name",
    ],
)
def test_what_would_need_a_guess_is_left_out_and_told(root, how):
    damage_beyond_repair(root, "a", how)
    summary, output = repair(root)
    assert "left out" in what_changed(summary, "a")
    assert set(opened(output)) == set(SOUND) - {"a"}
    assert verify_folder(output).findings == ()


def copy_pair(root: Path, source: str, target: str, *, mirrored: bool = False) -> None:
    for folder in ("images", "masks"):
        pixels = np.asarray(Image.open(root / folder / f"{source}.png"))
        if mirrored:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        write_image(root / folder / f"{target}.png", pixels)


def rows(**changes: dict[str, str | None]) -> list[dict[str, str | None]]:
    return [
        {"stem": stem, "split": split, "source": "drawn", "original": stem} | changes.get(stem, {})
        for stem, split in SOUND.items()
    ]


@pytest.mark.parametrize("mirrored", [False, True])
def test_of_an_image_in_two_splits_that_of_train_goes(root, mirrored):
    copy_pair(root, "e", "a", mirrored=mirrored)
    write_annotations(root, {})
    summary, output = repair(root)
    assert "the same as" in what_changed(summary, "a") or "the same image as e (test)" in (
        what_changed(summary, "a")
    )
    assert set(opened(output)) == set(SOUND) - {"a"}
    assert verify_folder(output).findings == ()


def test_copies_of_a_leaking_image_go_with_it(root):
    copy_pair(root, "e", "a")
    write_annotations(root, {})
    write_manifest(root, rows(b={"original": "a"}), {})
    _, output = repair(root)
    assert set(opened(output)) == {"c", "d", "e"}


def test_near_duplicates_of_one_split_are_kept(root):
    copy_pair(root, "a", "b", mirrored=True)
    write_annotations(root, {})
    _, output = repair(root)
    assert set(opened(output)) == set(SOUND)


def test_a_copy_goes_back_into_the_split_of_its_original(root):
    write_manifest(root, rows(b={"original": "d"}), {})
    summary, output = repair(root)
    assert opened(output)["b"].split == "val"
    assert "moved from train to val" in what_changed(summary, "b")
    assert verify_folder(output).is_ok


def test_boxes_are_cut_at_the_edge_or_left_out(root):
    def box(*corners: float) -> Annotation:
        return Annotation(cell_type=PLATELET, box=Box(*corners))

    good = box(5, 5, 15, 15)
    cells = [good, good, box(9, 9, 4, 4), box(-8, 2, 12, 20), box(500, 2, 520, 20), box(1, 1, 2, 2)]
    write_annotations(root, {"a": cells, "b": []})
    summary, output = repair(root)
    kept = opened(output)
    assert kept["a"].cells == (good, box(0, 2, 12, 20))
    assert kept["b"].cells == ()
    assert kept["c"].cells is None
    assert "4 boxes left out" in what_changed(summary, "a")
    assert "1 box cut" in what_changed(summary, "a")


def test_a_broken_manifest_is_replaced_by_what_could_be_read_of_it(root):
    entries = [{"stem": "a", "split": "exam"}, 3, *rows()[1:], {"stem": "gone", "split": "test"}]
    manifest = {"format_version": 1, "images": entries, "settings": {"mask_method": "stain"}}
    (root / "manifest.json").write_text(json.dumps(manifest))
    _, output = repair(root)
    dataset = PreparedDataset.open(output)
    assert {image.stem: image.split for image in dataset.images} == SOUND | {"a": None}
    assert dataset.details["settings"] == {"mask_method": "stain"}


def test_the_manifest_lists_every_change(root):
    (root / "masks" / "a.png").unlink()
    summary, output = repair(root)
    repairs = PreparedDataset.open(output).details["repairs"]
    assert [(row["stem"], row["what"]) for row in repairs] == [
        (change.stem, change.what) for change in summary.changes
    ]
    assert "a: left out: it has no mask" in summary.to_text()


def test_label_images_are_copied_and_broken_ones_left_out(root):
    (root / "instances").mkdir()
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    write_image(root / "instances" / "a.png", labels)
    write_image(root / "instances" / "b.png", labels[:10])
    summary, output = repair(root)
    assert opened(output)["a"].instance_path is not None
    assert opened(output)["b"].instance_path is None
    assert "instances/b.png left out" in what_changed(summary, "b")


def test_the_original_is_never_written_to(root):
    (root / "masks" / "a.png").unlink()
    before = contents(root)
    repair(root)
    assert contents(root) == before


def test_repairing_again_gives_the_same_copy(root):
    save_mask(root, "a", draw_smear(0)[1])
    _, output = repair(root)
    first = contents(output)
    repair(root)
    assert contents(output) == first


@pytest.mark.parametrize("place", [".", "inside", "..", "../data/x/.."])
def test_an_output_in_or_around_the_original_is_refused(root, place):
    with pytest.raises(SettingsError, match="another place"):
        write_repaired_copy(root, root / place, verify_folder(root))


def test_an_output_that_holds_something_else_is_refused(root):
    other = write_by_hand(root.parent / "other")
    before = contents(other)
    with pytest.raises(OutputError):
        write_repaired_copy(root, other, verify_folder(root))
    assert contents(other) == before


def test_a_folder_of_which_nothing_is_left_is_refused(tmp_path):
    root = write_prepared(tmp_path / "data", {"a": "train"})
    (root / "masks" / "a.png").unlink()
    with pytest.raises(DatasetError, match="no image is left"):
        repair(root)
    assert not (tmp_path / "repaired").exists()


def test_a_mask_that_changes_after_it_was_verified_is_refused(root):
    save_mask(root, "a", draw_smear(0)[1])
    report = verify_folder(root)
    save_mask(root, "a", draw_smear(0)[0])
    with pytest.raises(DatasetError, match="can no longer be understood"):
        write_repaired_copy(root, root.parent / "repaired", report)
