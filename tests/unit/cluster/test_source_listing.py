import pytest
from support.bucket_server import bucket_server

from blood_cell_system.cluster import source_listing
from blood_cell_system.cluster.source_listing import KeySet, Sources
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.errors import MissingDataError, SettingsError

pa = pytest.importorskip("pyarrow", reason="of the extra [cluster]")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def listed(*places, output="elsewhere", **options):
    output = Storage(str(output))
    return list(Sources([str(place) for place in places], output=output, **options))


def names(*places, **options):
    return [image.name for image in listed(*places, **options) if not image.fault]


def faults(images):
    return [image.fault for image in images if image.fault]


def test_images_of_a_folder_are_named_by_their_place_in_it(tmp_path):
    touch(tmp_path, "b.png", "a.jpg", "s1/c.tif", "notes.txt", ".hidden.png")
    assert names(tmp_path) == ["a.jpg", "b.png"]
    assert names(tmp_path, recursive=True) == ["a.jpg", "b.png", "s1/c.tif"]


def test_scans_are_listed_and_a_folder_in_zarr_is_one_of_them(tmp_path):
    touch(tmp_path, "a.svs", "b.zarr/0/0", "c/d.ndpi", "e.zip")
    assert names(tmp_path) == ["a.svs", "b.zarr"]
    assert names(tmp_path, recursive=True) == ["a.svs", "b.zarr", "c/d.ndpi"]
    assert names(tmp_path / "a.svs") == ["a.svs"]


def test_the_output_is_not_searched(tmp_path):
    touch(tmp_path, "a.png", "out/files/a.png")
    assert names(tmp_path, recursive=True, output=tmp_path / "out") == ["a.png"]


def test_images_of_several_folders_carry_the_names_of_these(tmp_path):
    touch(tmp_path, "x/a.png", "y/a.png")
    assert names(tmp_path / "x", tmp_path / "y") == ["x/a.png", "y/a.png"]


def test_a_pattern_names_files_below_its_folder(tmp_path):
    touch(tmp_path, "s1/f1.png", "s1/f2.png", "s2/deep/f1.png", "other.png")
    assert names(tmp_path / "s*/f?.png") == ["s1/f1.png", "s1/f2.png"]
    assert names(tmp_path / "**/f1.png") == ["s1/f1.png", "s2/deep/f1.png"]
    assert names(tmp_path / "s[2-9]/**/*.png") == ["s2/deep/f1.png"]


def test_a_place_without_images_is_a_fault(tmp_path):
    (image,) = listed(touch(tmp_path, "notes.txt"))
    assert image.fault.endswith("Add --recursive to search the folders in it.")


def test_images_of_a_bucket_are_listed():
    with bucket_server() as bucket:
        for name in ("s1/a.png", "s1/b.txt", "s2/c.png"):
            bucket.objects[f"images/slides/{name}"] = b"x"
        assert names(bucket.place("images/slides/*/a*")) == ["s1/a.png"]
        found = listed(bucket.place("images/slides"), recursive=True, group_by="folder")
        assert [(one.name, one.slide) for one in found] == [("s1/a.png", "s1"), ("s2/c.png", "s2")]
        assert found[0].place == bucket.place("images/slides/s1/a.png")


def test_slides_are_folders_and_patients_the_folders_around_them(tmp_path):
    touch(tmp_path / "in", "p1/s1/a.png", "s2/b.png", "c.png")
    found = listed(tmp_path / "in", recursive=True, group_by="folder")
    slides = [(one.name, one.slide, one.patient) for one in found]
    assert slides == [
        ("c.png", "in", None),
        ("p1/s1/a.png", "p1/s1", "p1"),
        ("s2/b.png", "s2", None),
    ]


def test_slides_are_found_by_an_expression(tmp_path):
    touch(tmp_path, "P1_S1_a.png", "b.png")
    good, bad = listed(tmp_path, group_by="(?P<patient>P[0-9])_(?P<slide>S[0-9])")
    assert (good.slide, good.patient) == ("S1", "P1")
    assert bad.fault.startswith("b.png: --group-by")


@pytest.mark.parametrize(
    ("group_by", "message"),
    [("(", "no regular expression"), ("S1", "has no group"), ("t.csv", "is a manifest here")],
)
def test_a_grouping_that_names_no_slide_is_refused(tmp_path, group_by, message):
    with pytest.raises(SettingsError, match=message):
        listed(tmp_path, group_by=group_by)


def manifest(tmp_path, kind, rows):
    path = tmp_path / f"list.{kind}"
    if kind == "parquet":
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = {"csv": ",", "tsv": "\t"}[kind]
        lines = [rows[0], *(row.values() for row in rows)]
        text = "\n".join(mark.join("" if v is None else v for v in line) for line in lines)
        path.write_text(text, "utf-8-sig")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_manifest_names_images_slides_and_patients(tmp_path, kind):
    rows = [
        {"image": "in/a.png", "slide": "S1", "patient": "P1"},
        {"image": str(tmp_path / "b.png"), "slide": "S2", "patient": None},
    ]
    first, second = listed(manifest(tmp_path, kind, rows))
    assert (first.place, first.name) == (f"{tmp_path}/in/a.png", "in/a.png")
    assert (first.slide, first.patient) == ("S1", "P1")
    assert (second.place, second.slide, second.patient) == (f"{tmp_path}/b.png", "S2", None)


def test_entries_that_are_wrong_are_faults_and_the_others_stay(tmp_path):
    rows = [
        {"image": "a.png", "slide": "S1", "patient": "P1"},
        {"image": "", "slide": "S1", "patient": "P1"},
        {"image": "a.png", "slide": "S1", "patient": "P1"},
        {"image": "b.png", "slide": "", "patient": ""},
        {"image": "c.png", "slide": "S1", "patient": "P2"},
        {"image": "d.png", "slide": "S1", "patient": "P1"},
    ]
    found = listed(manifest(tmp_path, "csv", rows))
    assert [one.name for one in found if not one.fault] == ["a.png", "d.png"]
    expected = ["entry 2 names no image", "named before", "has no slide", "of two patients"]
    for fault, words in zip(faults(found), expected, strict=True):
        assert words in fault


def test_a_manifest_that_is_none_is_refused(tmp_path):
    (tmp_path / "no_column.csv").write_text("file\na.png\n", "utf-8")
    (tmp_path / "damaged.parquet").write_bytes(b"no Parquet")
    (tmp_path / "odd.csv").write_bytes(b"image\n\xff\xfe.png\n")
    with pytest.raises(SettingsError, match="has no column image; found file"):
        listed(tmp_path / "no_column.csv")
    with pytest.raises(SettingsError, match="cannot be read as a manifest"):
        listed(tmp_path / "damaged.parquet")
    with pytest.raises(SettingsError, match="cannot be read as a manifest"):
        listed(tmp_path / "odd.csv")
    with pytest.raises(MissingDataError, match="there is no such file"):
        listed(tmp_path / "missing.csv")
    with pytest.raises(SettingsError, match="Leave one of them out"):
        listed(manifest(tmp_path, "csv", [{"image": "a.png"}]), group_by="folder")


def test_names_are_known_again_and_most_take_eight_bytes(monkeypatch):
    monkeypatch.setattr(source_listing, "_RECENT", 100)
    keys = KeySet()
    assert all(keys.add(f"slide/{number}.png") for number in range(5_000))
    assert not keys.add("slide/7.png")
    assert "slide/4999.png" in keys
    assert "slide/5000.png" not in keys
    assert len(keys) == 5_000
    assert len(keys._recent) < 700
    assert keys._sorted.nbytes > 4_300 * 8
