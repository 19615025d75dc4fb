"""Tokens of installed sources for language models."""

import tokenize
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest
import threadpoolctl

from sklsh.datasets import (
    _python_tokens,
    _sources,
    load_python_calls,
    load_python_tokens,
    make_ngram_pairs,
)

SUBSETS = ("train", "validation", "test")
SOURCE = '''
"""Docstring."""  # comment


@wrap
async def f(first, *rest: int) -> None:
    # comment
    if first >= 10 and (n := 100) != .5:

        return {'a': b"b", **rest}[7] // 0x7 @ 1_0
    é.x \\
        = rb"""long
string""" "joined"
'''
WORDS = """
<string> <newline>
@ wrap <newline>
async def f ( first , * rest : int ) -> None : <newline>
<indent> if first >= 10 and ( n := <number> ) != <number> : <newline>
<indent> return { <string> : <string> , ** rest } [ 7 ] // <number> @ <number> <newline>
<dedent> é . x = <string> <string> <newline>
<dedent>
"""


def documents_of(dataset):
    """Words of each document, by module."""
    words = dataset.vocabulary[dataset.tokens].tolist()
    ends = [*dataset.documents[1:], len(words)]
    return {
        module: words[start:end]
        for module, start, end in zip(dataset.modules, dataset.documents, ends, strict=True)
    }


@pytest.fixture
def subsets(tmp_path, monkeypatch):
    """Load two small packages that are installed."""
    roots = {"joblib": Path(joblib.__file__).parent, "threadpoolctl": Path(threadpoolctl.__file__)}
    monkeypatch.setattr(_sources, "source_roots", lambda: roots)
    return {subset: load_python_tokens(subset=subset, data_home=tmp_path) for subset in SUBSETS}


@pytest.fixture
def read(tmp_path):
    """Return a function from source to words."""

    def words_of(source):
        path = tmp_path / "source.py"
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return _python_tokens._read_words(path)

    return words_of


def test_words_of_a_source(read):
    assert read(SOURCE) == WORDS.split()


def test_last_line_needs_no_end(read):
    assert read("if x: y") == read("if x: y\n") == ["if", "x", ":", "y", "<newline>"]


@pytest.mark.parametrize(
    "number, word",
    [("0", "0"), ("42", "42"), ("00", "00"), ("100", "<number>"), ("1.", "<number>")]
    + [(number, "<number>") for number in ("0x1", "1e9", "2j", "1_0", "0b1")],
)
def test_whole_numbers_of_two_digits_stay(read, number, word):
    assert read(f"-{number}") == ["-", word, "<newline>"]


@pytest.mark.parametrize(
    "string",
    ["''", '"""a\nb"""', "b'x'", "rb'x'", "u'x'", "f''", "f'x'", "f'{x}'", "rf'{x!r:>{y}} {{'"]
    + ["F'''{x}\n{f\"{f'{z}'}\"}'''", "f'{x:{f\"{y}\"}}'"],
)
def test_a_string_is_one_word(read, string):
    assert read(f"s = [{string}, 0]") == "s = [ <string> , 0 ] <newline>".split()


def test_a_string_of_many_tokens_is_one_word(monkeypatch):
    start, end, middle = 1001, 1002, 1003  # as in Python 3.12
    monkeypatch.setattr(_python_tokens, "_STRING_STARTS", {start})
    monkeypatch.setattr(_python_tokens, "_STRING_ENDS", {end})
    kinds = [tokenize.NAME, start, middle, tokenize.OP, start, end, tokenize.NUMBER, end]
    tokens = [(kind, "x") for kind in [*kinds, tokenize.NAME]]
    assert list(_python_tokens._words(tokens)) == ["x", "<string>", "x"]


@pytest.mark.parametrize(
    "source",
    ["x = (", "'''x", "if x:\n        y\n    z\n", "x = $", b"# coding: none\nx", b"x = '\xff'"],
)
def test_files_that_cannot_be_read_are_left_out(read, source):
    assert read(source) == []


def test_missing_file_is_left_out(tmp_path):
    assert _python_tokens._read_words(tmp_path / "missing.py") == []


def test_documents_are_the_words_of_the_files(source_tree, tmp_path):
    (source_tree / "empty.py").write_text("# comment\n")
    files = dict(_sources.find_sources({"root": source_tree}))
    found = {}
    for subset in SUBSETS:
        dataset = load_python_tokens(subset=subset, data_home=tmp_path, min_count=1)
        known = set(dataset.vocabulary)
        assert dataset.modules == sorted(dataset.modules)
        assert dataset.documents[0] == 0
        for module, words in documents_of(dataset).items():
            expected = _python_tokens._read_words(files[module])
            assert words == [word if word in known else "<unk>" for word in expected]
            assert words
            found[module] = subset
    assert found["root.mod_a"] == "test"
    assert found["root.mod_l"] == "validation"
    assert found["root.latin"] == "train"
    # Files without tokens, and the twin of a training module in another subset.
    assert set(files) - set(found) == {"root.broken", "root.empty", "root"}


def test_vocabulary_is_of_training_tokens_by_falling_count(source_tree, tmp_path):
    train = load_python_tokens(data_home=tmp_path, min_count=1)
    counts = Counter()
    for letter in "bcdefghijkmnopqrst":  # those that are held out are "a" and "l"
        counts.update(_python_tokens._read_words(source_tree / f"mod_{letter}.py"))
    for name in ("latin.py", "package/__init__.py"):
        counts.update(_python_tokens._read_words(source_tree / name))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    assert train.vocabulary.tolist() == ["<unk>", *ranked]
    for min_count in (2, 18, 19):
        cut = load_python_tokens(data_home=tmp_path, min_count=min_count)
        n_kept = sum(count >= min_count for count in counts.values())
        assert 0 < n_kept < len(ranked)
        assert cut.vocabulary.tolist() == ["<unk>", *ranked[:n_kept]]
        np.testing.assert_array_equal(cut.tokens, np.where(train.tokens <= n_kept, train.tokens, 0))


def test_tokens_of_held_out_modules_only_are_unknown(source_tree, tmp_path):
    test = load_python_tokens(subset="test", data_home=tmp_path, min_count=1)
    assert "run_a" not in test.vocabulary
    assert documents_of(test)["root.mod_a"][:3] == ["def", "<unk>", "("]


@pytest.mark.parametrize("min_count", [1000, 10**30])
def test_min_count_without_tokens(source_tree, tmp_path, min_count):
    with pytest.raises(ValueError, match=f"min_count must leave some token, got {min_count}"):
        load_python_tokens(data_home=tmp_path, min_count=min_count)


def test_twins_stay_where_they_are_first():
    documents = {
        "train": {"a": (1, 2), "b": (1, 2), "c": ()},
        "validation": {"d": (1, 2), "e": (2, 1), "f": (2, 1)},
        "test": {"g": (2, 1), "h": (1,), "i": ()},
    }
    assert _python_tokens._without_twins(documents) == {
        "train": {"a": (1, 2), "b": (1, 2)},
        "validation": {"e": (2, 1), "f": (2, 1)},
        "test": {"h": (1,)},
    }


def test_training_modules_are_those_of_python_calls(source_tree, tmp_path):
    calls = load_python_calls(data_home=tmp_path, min_count=1)
    tokens = load_python_tokens(data_home=tmp_path)
    assert {name.rpartition(".")[0] for name in calls.names} == set(tokens.modules)


def test_installed_packages(subsets):
    vocabularies = {tuple(dataset.vocabulary) for dataset in subsets.values()}
    (vocabulary,) = vocabularies
    assert len(set(vocabulary)) == len(vocabulary) > 1000
    modules = [module for dataset in subsets.values() for module in dataset.modules]
    assert len(modules) == len(set(modules))
    assert {"joblib.parallel", "threadpoolctl"} <= set(modules)
    for dataset in subsets.values():
        assert isinstance(dataset.DESCR, str)
        assert dataset.tokens.dtype == np.int32
        assert dataset.documents.dtype == np.int64
        assert len(dataset.documents) == len(dataset.modules)
        assert (np.diff(dataset.documents, append=len(dataset.tokens)) > 0).all()
        for words in documents_of(dataset).values():
            depths = np.cumsum([(word == "<indent>") - (word == "<dedent>") for word in words])
            assert depths.min() == depths[-1] == 0


def test_rows_for_a_model(subsets):
    train = subsets["train"]
    n_tokens = len(train.vocabulary)
    X, y = make_ngram_pairs(train.tokens, 3, n_tokens=n_tokens, documents=train.documents)
    assert X.shape == (len(train.tokens) - 3 * len(train.documents), 3 * n_tokens)
    # The most frequent next token after "else" is ":", as in any Python.
    after_else = y[X.indices[::3] == train.vocabulary.tolist().index("else")]
    assert train.vocabulary[np.bincount(after_else).argmax()] == ":"
