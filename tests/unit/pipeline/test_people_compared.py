import json

import pytest
from support.analysed_images import write_smear_image
from support.classified_cells import classified_analysis, classified_report
from support.corrected_cells import an_event

from blood_cell_system.corrections.correction_log import write_corrections
from blood_cell_system.corrections.record import Action, Corrections
from blood_cell_system.errors import CorrectionsError, MissingDataError
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.pipeline.people_compared import compare_people, write_agreement
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_image_files
from blood_cell_system.reports.page.agreement_page import AgreementFile


@pytest.fixture
def results(tmp_path):
    image = write_smear_image(tmp_path / "smears" / "a.png")
    report = classified_report(name="a.png")
    provenance = report.provenance.model_copy(update={"data_sha256": sha256_of(image)})
    report = report.model_copy(update={"provenance": provenance})
    for name in ("a", "b"):
        write_image_files(tmp_path / "results", name, classified_analysis(), report)
    return ResultsFolder(tmp_path / "results", [tmp_path / "smears"])


@pytest.fixture
def white(results):
    """Id of the white cell."""
    return results.report("a").cells["cell_type"].tolist().index("WBC") + 1


def save(results, name, *events, header=None):
    path = results.path.parent / f"{name}.json"
    write_corrections(path, Corrections(header=header or results.header, events=events))
    return path


def review(by, *images):
    return [an_event(Action.REVIEW_FIELD, image=image, by=by) for image in images]


def named(agreement):
    return {question.name: question for question in agreement.questions}


def test_people_who_say_the_same_agree_fully(results):
    files = [save(results, by, *review(by, "a", "b")) for by in ("Ada", "Bob")]
    found, shown = compare_people(results, *files)
    assert (found.first, found.second, found.fields) == ("Ada", "Bob", 2)
    assert named(found)["cell type"].observed.value == 1
    assert named(found)["cell type"].kappa.value == 1
    assert named(found)["condition of WBC"].kappa.value is None
    assert found.disagreements == () == tuple(shown)


def test_what_they_disagree_on_is_counted_by_question_and_listed(results, white):
    changed = an_event(
        Action.SET_CLASS,
        [white],
        by="Bob",
        cell_type="WBC",
        condition="healthy_WBC",
        subtype="monocyte",
    )
    gone = an_event(Action.DELETE, [white], image="b", by="Bob")
    first = save(results, "ada", *review("Ada", "a", "b"))
    second = save(results, "bob", changed, gone, *review("Bob", "a", "b"))
    found, shown = compare_people(results, first, second)
    subtypes = named(found)["subtype of WBC"]
    assert (subtypes.total, subtypes.observed.value) == (1, 0)
    assert subtypes.classes == ("lymphocyte", "monocyte")
    assert subtypes.counts == ((0, 1), (0, 0))
    types = named(found)["cell type"]
    assert types.total == 2 * len(results.report("a").cells)
    assert types.counts[types.classes.index("WBC")][types.classes.index("no cell")] == 1
    assert [(one.image, one.cell_id, one.first, one.second) for one in found.disagreements] == [
        ("a", white, "WBC, healthy_WBC, lymphocyte", "WBC, healthy_WBC, monocyte"),
        ("b", white, "WBC, healthy_WBC, lymphocyte", "no cell"),
    ]
    assert all(one.jpeg.startswith(b"\xff\xd8") for one in shown)


def test_a_person_is_compared_with_the_program(results, white):
    changed = an_event(Action.SET_CLASS, [white], cell_type="RBC", condition="healthy_RBC")
    found, _ = compare_people(results, save(results, "ada", changed))
    assert found.second == "the program"
    assert named(found)["cell type"].classes == ("RBC", "WBC")
    assert [one.second for one in found.disagreements] == ["WBC, healthy_WBC, lymphocyte"]


def test_only_fields_that_both_have_are_compared(results):
    files = (
        save(results, "ada", *review("Ada", "a", "b")),
        save(results, "bob", *review("Bob", "b")),
    )
    assert compare_people(results, *files)[0].fields == 1


def test_people_of_one_name_are_told_apart_by_their_files(results):
    files = [save(results, name, *review("reviewer", "a")) for name in ("one", "two")]
    found, _ = compare_people(results, *files)
    assert (found.first, found.second) == ("reviewer (one.json)", "reviewer (two.json)")


def test_images_that_are_gone_cost_their_tiles_alone(results, white):
    gone = an_event(Action.DELETE, [white])
    found, [shown] = compare_people(ResultsFolder(results.path), save(results, "ada", gone))
    assert shown.jpeg == b""
    assert len(found.disagreements) == 1


def test_the_files_have_the_figures_and_the_disagreements(results, white, tmp_path):
    gone = an_event(Action.DELETE, [white], by="<script>alert(1)</script>\n")
    found, shown = compare_people(results, save(results, "ada", gone))
    data = json.dumps({"key": "0123456789abcdef99", "fields": [{"name": "a"}]})
    html = f'<script type="application/json" id="results">{data}</script>'
    (results.path / "review.html").write_text(html, "utf-8")
    write_agreement(found, shown, results, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "agreement.json").read_text("utf-8"))
    assert AgreementFile.model_validate(written).to_json() == found.to_json()
    page = (tmp_path / "out" / "agreement.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\n" in page
    assert f'href="../results/review.html#disagreed=0123456789abcdef/0:{white}"' in page
    assert page.count("<img ") == 1


def test_one_file_named_twice_is_refused(results):
    file = save(results, "ada", *review("Ada", "a"))
    with pytest.raises(CorrectionsError, match="named twice; expected the corrections of two"):
        compare_people(results, file, file)


def test_people_who_judged_no_cell_in_common_are_told(results, white):
    red = results.report("a").cells["cell_type"].tolist().index("RBC") + 1
    files = [
        save(results, name, an_event(Action.REVIEW_CELLS, [cell], by=name))
        for name, cell in (("ada", red), ("bob", white))
    ]
    with pytest.raises(CorrectionsError, match=r"no cell of it was judged in .*bob\.json as well"):
        compare_people(results, *files)


def test_corrections_of_other_results_are_refused(results):
    other = results.header.model_copy(update={"images": {"a": "0" * 64}})
    file = save(results, "ada", *review("Ada", "a"), header=other)
    with pytest.raises(CorrectionsError, match=r"ada\.json: the cells of 'a' are not those"):
        compare_people(results, file)


def test_a_missing_file_is_told(results, tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.json"):
        compare_people(results, tmp_path / "none.json")
