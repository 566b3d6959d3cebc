"""Options as words: each says itself which decision it means."""

from __future__ import annotations

import pytest

from rlquant import SearchSpace
from rlquant.config import METHODS, POINTS, ROUNDINGS
from rlquant.errors import ChoiceError, SettingsError
from rlquant_experiments.tables.choice_words import with_choices


def test_words_say_which_decision_they_mean() -> None:
    space = with_choices(SearchSpace(), ["2", "3", "ternary", "points=learned", "stochastic"])
    assert space.bits == (2, 3)
    assert space.method == ("ternary",)
    assert space.points == ("learned",)
    assert space.rounding == ("stochastic",)


def test_decisions_without_a_word_stay_and_the_order_of_words_is_kept() -> None:
    given = SearchSpace(bits=(5, 6), exclude=("head",), group_size=(64,), points=("affine",))
    space = with_choices(given, ["kmeans", "3", "clipped", "2"])
    assert (space.bits, space.points) == ((3, 2), ("kmeans", "clipped"))
    assert (space.exclude, space.group_size) == (("head",), (64,))
    assert with_choices(given, []) == given
    sizes = with_choices(given, ["channel", "group_size=32", "group_size=tensor"]).group_size
    assert sizes == ("channel", 32, "tensor")


@pytest.mark.parametrize(
    ("head", "option"),
    [
        *(("method", option) for option in METHODS),
        *(("rounding", option) for option in ROUNDINGS),
        *(("points", option) for option in POINTS),
    ],
)
def test_every_option_has_a_word(head: str, option: str) -> None:
    """Several decisions have a "learned"; of all others the option's name suffices."""
    assert getattr(with_choices(SearchSpace(), [f"{head}={option}"]), head) == (option,)
    if option != "learned":
        assert getattr(with_choices(SearchSpace(), [option]), head) == (option,)


@pytest.mark.parametrize("word", ["some", "points=stochastic", "=kmeans", "", "-2", "2.5", "²"])
def test_a_word_without_meaning_is_refused(word: str) -> None:
    words = f"choice '{word}' means nothing; use a bit-width or a word of method: float "
    with pytest.raises(SettingsError, match=words):
        with_choices(SearchSpace(), ["2", word])


def test_a_word_of_two_meanings_is_refused() -> None:
    words = "choice 'learned' may be rounding=learned or points=learned"
    with pytest.raises(SettingsError, match=words):
        with_choices(SearchSpace(), ["learned"])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["2", "2"], r"bits=\(2, 2\) names an option twice"),
        (["17"], "bits=17, use a whole number in 1..16"),
        (["9", "kmeans"], "no combination of the options is legal"),
    ],
)
def test_options_that_no_layer_can_have_are_refused(said: list[str], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        with_choices(SearchSpace(), said)
