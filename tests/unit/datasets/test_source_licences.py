import pytest

from blood_cell_system.datasets.source_licences import (
    is_permissive,
    licence_of_weights,
    licences_of,
    permissive_sources,
    sources_against,
)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", True),
        ("CC0", True),
        ("CC BY 4.0 (Acevedo et al. 2020)", True),
        ("CC BY (Sidhom et al. 2021)", True),
        ("CC BY-NC 4.0", False),
        ("CC BY NC 4.0", False),
        ("CC BY-SA 4.0", False),
        ("MITRE", False),
        ("none stated, research only", False),
        ("public (Rajaraman et al. 2018)", False),
        ("free with citation", False),
        ("", False),
    ],
)
def test_a_licence_is_permissive_only_where_it_says_so(licence, expected):
    assert is_permissive(licence) is expected


def test_the_sources_for_commercial_use_are_those_with_an_open_licence():
    assert permissive_sources() == (
        "bccd", "chula_rbc12", "chula_wbc", "cnmc", "jhu", "pbc", "synthetic",
    )  # fmt: skip


def test_a_model_of_open_sources_has_nothing_against_it():
    assert sources_against("bccd, pbc, synthetic") == ()
    assert licence_of_weights("bccd, pbc").startswith("weights: commercial use as well; bccd: MIT")


def test_one_source_for_research_makes_a_model_for_research():
    assert sources_against("bccd, taleqani") == ("taleqani: Kaggle, for research",)
    assert licence_of_weights("bccd, taleqani").startswith("weights: research use")


def test_a_source_that_nobody_knows_counts_as_one_for_research():
    assert sources_against("bccd, my_hospital") == ("my_hospital: not known",)


def test_what_a_model_was_fine_tuned_on_counts_beside_what_it_learned_before():
    assert licences_of("taleqani; fine-tuned on bccd").keys() == {"taleqani", "bccd"}


def test_a_description_in_words_is_not_known():
    assert sources_against("BCCD's train split, and pbc") == ("unnamed sources: not known",)


def test_a_network_that_starts_from_photographs_is_for_research():
    for architecture in ("cell_lite", "cell_lite_plain"):
        assert sources_against("bccd", architecture=architecture) == ("imagenet: research only",)
    assert sources_against("bccd", architecture="cell_resnet") == ()


def test_a_model_that_names_no_source_says_nothing():
    assert sources_against("") == ("its metadata name no sources",)
    assert licence_of_weights("") == ""
