import inspect

import pytest

from blood_cell_system import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not errors.BloodCellError])
def test_every_error_is_one_of_ours_and_the_matching_built_in(kind):
    assert issubclass(kind, errors.BloodCellError)
    assert any(base.__module__ == "builtins" for base in kind.__bases__)


@pytest.mark.parametrize("kind", ALL)
def test_the_tree_names_every_error(kind):
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", ALL)
def test_the_message_is_shown_as_it_is(kind):
    assert str(kind("a.png: what, and what to do")) == "a.png: what, and what to do"


def test_a_name_to_choose_from_nothing_is_refused_in_words():
    assert "there is none at all" in str(errors.UnknownNameError.of("kind", "rbc", ()))
