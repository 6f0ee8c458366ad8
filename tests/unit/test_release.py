"""The scripts of a release: what they refuse, and what they write."""

import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest
import yaml

from blood_cell_system.errors import MissingDataError
from blood_cell_system.pipeline.installed_models import installed_models
from blood_cell_system.pipeline.model_slots import weights_folder

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = script("release")


@pytest.fixture(scope="module")
def licences():
    # Dataclasses look their module up by name.
    name = "dependency_licences"
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n', "utf-8")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n", "utf-8")
    (tmp_path / "recipe" / "meta.yaml").write_text("package:\n  version: 1.2.0\n", "utf-8")
    changes = "# Changes\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n- A thing.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes, "utf-8")
    return tmp_path


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_version_that_all_files_agree_on_is_released(project):
    assert release.version_of(project) == "1.2.0"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("CITATION.cff", "\nversion: 1.2.0", "\nversion: 1.1.0", "CITATION.cff: version 1.1.0"),
        ("recipe/meta.yaml", "1.2.0", "1.1.0", "meta.yaml: version 1.1.0; expected 1.2.0"),
        ("recipe/meta.yaml", "version", "release", "meta.yaml: version none"),
        ("CHANGELOG.md", "[1.2.0]", "[1.1.0]", r"no section \[1.2.0\]"),
        ("CHANGELOG.md", " - 2026-12-01", "", "has no date"),
        ("CHANGELOG.md", "[Unreleased]\n", "[Unreleased]\n- More.\n", "lines under Unreleased"),
    ],
)
def test_a_version_that_a_file_contradicts_is_refused(project, file, old, new, words):
    change(project / file, old, new)
    with pytest.raises(release.ReleaseError, match=words):
        release.version_of(project)


def test_a_rehearsal_needs_no_closed_changelog():
    assert release.version_of(ROOT, is_rehearsal=True)


def test_changes_that_are_not_committed_are_refused(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    release.check_tree(tmp_path)
    (tmp_path / "a.txt").write_text("new", "utf-8")
    with pytest.raises(release.ReleaseError, match=r"not committed; commit them first\.\n.*a\.txt"):
        release.check_tree(tmp_path)


def test_a_program_that_fails_shows_the_end_of_its_output():
    with pytest.raises(release.ReleaseError, match="exit code 3\nwhy"):
        release.run(sys.executable, "-c", "print('why'); raise SystemExit(3)")


def test_weights_that_are_too_large_are_refused(tmp_path, monkeypatch):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("blood_cell_system/weights/a.onnx", b"0" * 900)
        archive.writestr("blood_cell_system/other.py", b"0" * 900)
    assert release.check_weights(wheel) == 900
    monkeypatch.setattr(release, "MAX_WEIGHTS_BYTES", 899)
    with pytest.raises(release.ReleaseError, match="weights of 900 bytes; at most 899"):
        release.check_weights(wheel)


def test_a_folder_that_is_not_empty_is_not_released_into(tmp_path):
    (tmp_path / "old.whl").touch()
    with pytest.raises(release.ReleaseError, match="is not empty"):
        release.release(tmp_path, pythons=[], is_rehearsal=True)


def test_checksums_are_those_of_all_files(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.onnx").write_bytes(b"a")
    release.write_checksums(tmp_path)
    release.write_checksums(tmp_path)
    expected = f"{hashlib.sha256(b'a').hexdigest()}  models/a.onnx\n"
    assert (tmp_path / "SHA256SUMS").read_text("utf-8") == expected


def test_the_files_of_a_build_are_there():
    assert all((ROOT / name).exists() for name in release.SOURCES)


class Installed:
    """A package as ``importlib.metadata`` gives it."""

    def __init__(self, requires=(), version="1.0", **fields):
        self.requires, self.version = list(requires), version
        self.metadata = Message()
        for name, values in fields.items():
            for value in values if isinstance(values, list) else [values]:
                self.metadata[name.replace("_", "-")] = value


@pytest.mark.parametrize(
    ("fields", "expected", "is_forbidden"),
    [
        ({"License_Expression": "MIT"}, "MIT", False),
        ({"Classifier": ["License :: OSI Approved :: BSD License"]}, "BSD License", False),
        ({"License": "Apache 2.0\n\nlong text of GPL"}, "Apache 2.0", False),
        ({"License_Expression": "GPL-3.0-only"}, "GPL-3.0-only", True),
        ({"License_Expression": "AGPL-3.0-or-later"}, "AGPL-3.0-or-later", True),
        ({"License_Expression": "LGPL-2.1-only"}, "LGPL-2.1-only", False),
        ({"License_Expression": "MIT OR GPL-2.0-only"}, "MIT OR GPL-2.0-only", False),
        (
            {"Classifier": ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"]},
            "GNU General Public License v3 (GPLv3)",
            True,
        ),
        ({}, "not stated", True),
        ({"License": "UNKNOWN"}, "not stated", True),
    ],
)
def test_the_licence_of_a_package_is_read_and_judged(licences, fields, expected, is_forbidden):
    licence = licences.licence_of(Installed(**fields))
    assert licence == expected
    package = licences.Package(name="a", version="1", licence=licence)
    assert package.is_forbidden is is_forbidden


def test_packages_needed_are_found_through_others_and_by_extras(licences, monkeypatch):
    known = {
        "top": Installed(["Mid_Dle[fast]>=1", 'extra-only; extra == "more"', "absent"]),
        "mid-dle": Installed(['deep; extra == "fast"', "top"]),
        "deep": Installed(),
        "extra-only": Installed(),
    }

    def distribution(name):
        try:
            return known[licences.normalised(name)]
        except KeyError:
            raise licences.PackageNotFoundError(name) from None

    monkeypatch.setattr(licences, "distribution", distribution)
    found = [one.name for one in licences.packages_needed("top")]
    assert found == ["deep", "mid-dle", "top"]
    assert "extra-only" in [one.name for one in licences.packages_needed("top", ["more"])]


def test_the_sbom_names_the_program_and_every_dependency(licences):
    packages = [
        licences.Package(name=name, version="1.0", licence="MIT")
        for name in ("blood-cell-system", "numpy")
    ]
    sbom = licences.sbom_of(packages)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.5")
    assert sbom["metadata"]["component"]["name"] == "blood-cell-system"
    assert [part["purl"] for part in sbom["components"]] == ["pkg:pypi/numpy@1.0"]
    assert sbom == licences.sbom_of(packages)


def test_a_licence_that_may_not_be_there_ends_with_an_error(
    licences, tmp_path, monkeypatch, capsys
):
    copyleft = licences.Package(name="blood-cell-system", version="1", licence="GPL-3.0-only")
    monkeypatch.setattr(licences, "packages_needed", lambda *_: (copyleft,))
    monkeypatch.setattr("sys.argv", ["dependency_licences.py", "--output", str(tmp_path)])
    assert licences.main() == 1
    assert "licence GPL-3.0-only; expected one that is permissive" in capsys.readouterr().out
    assert json.loads((tmp_path / "sbom.cdx.json").read_text("utf-8"))["version"] == 1
    assert "| blood-cell-system | 1 | GPL-3.0-only |" in (tmp_path / "licences.md").read_text()


def test_a_package_that_is_not_installed_has_no_licences(licences, tmp_path, monkeypatch):
    monkeypatch.setattr(licences, "packages_needed", lambda *_: ())
    monkeypatch.setattr("sys.argv", ["dependency_licences.py", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="is not installed"):
        licences.main()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "models"
    script("model_folder").write_model_folder(weights_folder(), folder)
    return folder


def test_the_card_of_a_model_folder_begins_with_facts_for_programs(model_folder):
    text = (model_folder / "README.md").read_text("utf-8")
    _, facts, body = text.split("---\n", 2)
    facts = yaml.safe_load(facts)
    assert facts["library_name"] == "onnx"
    assert facts["license_name"] == "research-use"
    assert "# Model card: wbc_classifier" in body


def test_the_config_of_a_model_folder_has_the_checksum_and_the_metadata(model_folder):
    config = json.loads((model_folder / "config.json").read_text("utf-8"))["models"]
    assert set(config) == {path.name for path in model_folder.glob("*.onnx")}
    for name, entry in config.items():
        digest = hashlib.sha256((model_folder / name).read_bytes()).hexdigest()
        assert entry["sha256"] == digest
        assert entry["metadata"]["kind"] in ("segmenter", "classifier")


def test_a_model_folder_is_a_folder_of_models_for_the_program(model_folder):
    found = installed_models(model_folder)
    assert not any(model.problem for model in found)
    assert all(model.licence for model in found)


def test_a_model_folder_is_not_written_over_another(model_folder):
    with pytest.raises(SystemExit, match="is not empty"):
        script("model_folder").write_model_folder(weights_folder(), model_folder)


def test_a_damaged_model_gets_into_no_model_folder(tmp_path):
    data = (weights_folder() / "rbc_classifier.onnx").read_bytes()
    (tmp_path / "rbc_classifier.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(SystemExit, match=r"rbc_classifier\.onnx: "):
        script("model_folder").write_model_folder(tmp_path, tmp_path / "out")


def test_a_folder_without_models_makes_no_model_folder(tmp_path):
    with pytest.raises(MissingDataError, match="no models there"):
        script("model_folder").write_model_folder(tmp_path, tmp_path / "out")
