"""Word n-grams are those of CountVectorizer."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from sklsh.datasets import iter_word_ngrams

TEXTS = st.lists(st.text("abAB \u00e9\u00c9\u0130_1.,'-\n", max_size=60), max_size=4)
SETTINGS = [
    {},
    {"ngram_range": (1, 1)},
    {"ngram_range": [2, 3]},
    {"lowercase": False, "stop_words": ["ab", "Ab"]},
    {"strip_accents": "unicode", "token_pattern": r"\S+"},
    {"stop_words": "english", "ngram_range": (1, 3), "token_pattern": r"(\w)\w*"},
]


@pytest.mark.parametrize("options", SETTINGS)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(TEXTS)
def test_rows_are_those_of_count_vectorizer(options, texts):
    rows = list(iter_word_ngrams(texts, **options))
    ngram_range = tuple(options.get("ngram_range", (1, 2)))
    vectorizer = CountVectorizer(**options | {"ngram_range": ngram_range})
    analyze = vectorizer.build_analyzer()
    assert rows == [analyze(text) for text in texts]
    if any(rows):
        X = vectorizer.fit_transform(texts)
        names = vectorizer.get_feature_names_out()
        assert set(names) == {token for row in rows for token in row}
        for row, counts in zip(rows, X.toarray(), strict=True):
            assert counts.tolist() == [row.count(name) for name in names]


def test_texts_are_taken_one_by_one():
    taken = []

    def texts():
        for text in ("one two", b"three \xc3\xa9t\xc3\xa9", "four"):
            taken.append(text)
            yield text

    rows = iter_word_ngrams(texts())
    assert taken == []
    assert next(rows) == ["one", "two", "one two"]
    assert len(taken) == 1
    assert next(rows) == ["three", "\xe9t\xe9", "three \xe9t\xe9"]


@pytest.mark.parametrize(
    "options",
    [{"ngram_range": value} for value in (2, (0, 1), (2, 1), (1,), (1, 2.0), (True, 2), "12", None)]
    + [{"lowercase": 1}, {"token_pattern": None}, {"token_pattern": 3}, {"stop_words": "french"}]
    + [{"strip_accents": "all"}, {"token_pattern": "(a)(b)"}],
)
def test_wrong_parameters_are_told_at_once(options):
    with pytest.raises(ValueError):
        iter_word_ngrams(["a text"], **options)


def test_a_pattern_that_is_none():
    with pytest.raises(re.error):
        iter_word_ngrams(["a text"], token_pattern="(")


def test_a_single_text_is_refused():
    for text in ("a text", b"a text"):
        with pytest.raises(ValueError, match="got a single"):
            iter_word_ngrams(text)


def test_what_is_no_text():
    for wrong in (np.nan, None, 3, ["a text"]):
        with pytest.raises(TypeError, match="Text 1 must be str or bytes; got"):
            list(iter_word_ngrams(["a text", wrong]))
    with pytest.raises(UnicodeDecodeError):
        next(iter_word_ngrams([b"\xff"]))
