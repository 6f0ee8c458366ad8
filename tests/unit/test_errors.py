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


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: {}["bbox"], "'bbox' is missing"),
        (lambda: [][0], "a value is missing"),
        (lambda: dict(None), "a value is of another kind than it should be"),
        (lambda: int(1e400), "a number is too large"),
        (lambda: float("x"), "'x' is no number"),
        (lambda: int("x"), "'x' is no number"),
        (lambda: int(float("nan")), "a number is NaN"),
        (lambda: unpacked([1, 2, 3]), "there are more or fewer values than there should be"),
        (lambda: unpacked([1]), "there are more or fewer values than there should be"),
        (lambda: int("9" * 6000), "there is a number of thousands of digits"),
        (lambda: errors.SettingsError("x: y"), "x: y"),
    ],
)
def test_what_python_says_of_a_value_is_said_for_people(work, words):
    try:
        error = work()
    except Exception as raised:
        error = raised
    assert errors.value_words(error) == words


def unpacked(values):
    first, second = values
    return first, second
