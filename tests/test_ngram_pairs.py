"""Contexts and next tokens of streams."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklsh import _memory
from sklsh.datasets import make_ngram_pairs

DOCUMENTS = st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=5)


def naive_pairs(documents, window):
    """(Tokens before, the nearest first; next token) of each place that has enough before it."""
    return [
        ([document[i - d] for d in range(1, window + 1)], document[i])
        for document in documents
        for i in range(window, len(document))
    ]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(DOCUMENTS, st.integers(1, 4), st.sampled_from(["uint8", "int32", "int64", "uint64"]))
def test_rows_are_those_of_the_naive_twin(documents, window, dtype):
    tokens = np.concatenate(documents).astype(dtype)
    starts = np.cumsum([0, *map(len, documents[:-1])])
    pairs = naive_pairs(documents, window)
    if not pairs:
        with pytest.raises(ValueError, match="tokens must"):
            make_ngram_pairs(tokens, window, n_tokens=6, documents=starts)
        return
    X, y = make_ngram_pairs(tokens, window, n_tokens=6, documents=starts)
    assert y.dtype == tokens.dtype
    assert y.tolist() == [target for _, target in pairs]
    assert X.shape == (len(pairs), window * 6)
    expected = np.zeros((len(pairs), window, 6))
    for row, (context, _) in zip(expected, pairs, strict=True):
        row[np.arange(window), context] = 1
    np.testing.assert_array_equal(X.toarray(), expected.reshape(X.shape))
    assert X.format == "csr"
    assert X.dtype == np.float32
    assert X.has_canonical_format
    assert X.indices.dtype == X.indptr.dtype == np.int32


def test_vocabulary_ends_at_the_largest_token():
    X, y = make_ngram_pairs([0, 7, 2, 1, 0], 3)
    assert X.shape == (2, 3 * 8)
    assert X.indices.tolist() == [2, 8 + 7, 16 + 0, 1, 8 + 2, 16 + 7]
    assert y.tolist() == [1, 0]


def test_one_document_by_default():
    tokens = np.arange(20)
    X, y = make_ngram_pairs(tokens)
    X_one, y_one = make_ngram_pairs(tokens, 4, n_tokens=20, documents=[0])
    assert X.shape == (16, 4 * 20)
    assert (X != X_one).nnz == 0
    np.testing.assert_array_equal(y, y_one)


@pytest.mark.parametrize(
    "n_tokens, dtype", [(2**30 - 1, np.int32), (2**30, np.int64), (2**61, np.int64)]
)
def test_indices_are_as_wide_as_columns_need(n_tokens, dtype):
    X, _ = make_ngram_pairs([n_tokens - 1, 0, n_tokens - 1, 0], 2, n_tokens=n_tokens)
    assert X.indices.dtype == dtype
    assert X.indices.tolist() == [0, 2 * n_tokens - 1, n_tokens - 1, n_tokens]


def test_rows_do_not_share_memory_with_tokens():
    tokens = np.array([0, 1, 2])
    _, y = make_ngram_pairs(tokens, 1)
    y[:] = 0
    assert tokens.tolist() == [0, 1, 2]


def test_rows_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 8 * 3 * 97)
    with pytest.raises(MemoryError, match=r"97 contexts of 3 tokens would take [\d,]+ bytes"):
        make_ngram_pairs(np.zeros(100, dtype=int), 3)


@pytest.mark.parametrize(
    "tokens",
    [[], [[0, 1], [1, 0]], 3, [0.0, 1.0, 2.0], [True, False, True], ["a", "b"], None, [0, 2**70]],
)
def test_tokens_must_be_integers_of_one_dimension(tokens):
    with pytest.raises(ValueError, match="tokens must be integers of one dimension"):
        make_ngram_pairs(tokens, 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tokens": [0, -3, 1]}, "tokens must not be negative; got -3"),
        ({"n_tokens": 2}, "tokens must be below n_tokens=2; got 2"),
        ({"n_tokens": 2**63}, "window * n_tokens must be below 2^63; got 1 * 9223372036854775808"),
        ({"window": 3}, "tokens must have a document of more than window=3 tokens; the longest"),
        (
            {"window": 2, "documents": [0, 2]},
            "tokens must have a document of more than window=2 tokens; the longest has 2",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(options, message):
    options = {"tokens": [0, 1, 2], "window": 1} | options
    with pytest.raises(ValueError, match=re.escape(message)):
        make_ngram_pairs(**options)


@pytest.mark.parametrize("name", ["window", "n_tokens"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "2", True])
def test_counts_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer .* got {value!r}"):
        make_ngram_pairs([0, 1, 2], **{name: value})


@pytest.mark.parametrize(
    "documents", [[], [[0]], 0, [0.0], [False], [1], [0, 2, 1], [0, 5], [-1, 2], ["0"]]
)
def test_documents_must_be_ascending_starts(documents):
    with pytest.raises(ValueError, match="documents must be"):
        make_ngram_pairs([0, 1, 2, 3], 1, documents=documents)
