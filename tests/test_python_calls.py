"""Tests of the loader of real data."""

import re

import numpy as np
import pytest
from scipy.sparse import vstack
from sklearn.feature_extraction.text import TfidfVectorizer

from sklsh.datasets import _python_calls as datasets
from sklsh.datasets import _sources, load_python_calls

SHAPES = '''
"""A made-up module."""

@decorator_call()
def plainOuter(firstArg, /, *rest, key_word=default_call(), **others):
    """Say what HTTPServer and snake_case do.

    More of it.
    """
    bodyvariable = "bodystring"  # bodycomment
    package.module.attribute_call(plain_call(bodyvariable))
    table[0](chained_call()())
    def innerfunction(innerargument):
        """Innerdocstring."""
        return inner_call()
    return lambda: plain_call()

class SomeClass:
    class Nested:
        async def method(self):
            async_call()

if True:
    try:
        def guarded():
            guarded_call()
    except ImportError:
        def guarded():
            fallback_call()

def silent():
    return 1
'''


@pytest.fixture
def functions(tmp_path):
    """Read the functions of the made-up module, by name."""
    path = tmp_path / "shapes.py"
    path.write_text(SHAPES)
    rows = datasets._read_functions("pkg.shapes", path)
    assert len({row.name for row in rows}) == len(rows) - 1  # "guarded" is there twice
    return {row.name: row for row in rows}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Share a data home, for the real data to be built only once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def subsets(home):
    return {name: load_python_calls(subset=name, data_home=home) for name in ("train", "test")}


@pytest.fixture(scope="module")
def halves(home, subsets):
    """Read what the subsets are made of, from the cache."""
    (path,) = (home / "sklsh").iterdir()
    return datasets._restored(_sources._read_cache(path))


def test_labels_are_the_names_called_in_the_body(functions):
    assert {name: row.calls for name, row in functions.items()} == {
        "pkg.shapes.plainOuter": ["attribute_call", "chained_call", "inner_call", "plain_call"],
        "pkg.shapes.SomeClass.Nested.method": ["async_call"],
        "pkg.shapes.guarded": ["fallback_call"],
    }


def test_document_has_words_of_place_signature_and_docstring(functions):
    outer = functions["pkg.shapes.plainOuter"]
    assert outer.document == (
        "pkg shapes plain outer first arg rest key word others "
        "say what http server and snake case do more of it"
    )
    assert outer.summary == "Say what HTTPServer and snake_case do."
    method = functions["pkg.shapes.SomeClass.Nested.method"]
    assert method.document == "pkg shapes some class nested method self"
    assert method.summary == ""


def test_nothing_of_a_body_is_in_a_document(functions):
    text = " ".join(row.document for row in functions.values())
    assert not re.search("body|inner|call|table|default|decorator|lambda", text)


def test_files_that_do_not_parse_are_skipped(source_tree):
    assert datasets._read_functions("broken", source_tree / "broken.py") == []
    (row,) = datasets._read_functions("latin", source_tree / "latin.py")
    assert row.calls == ["é"]


def test_twins_are_dropped_from_the_test_half(monkeypatch):
    monkeypatch.setattr(datasets, "_is_held_out", lambda module: module == "held")

    def function(module, name, summary, document=""):
        document = document or f"{module} {name} {summary}"
        return datasets._Function(module, f"{module}.{name}", f"{name} x", summary, document, ["f"])

    train = [
        function("kept", "fit", "Fit it."),
        function("kept", "bare", ""),
        function("kept", "odd", "Odd.", "text"),
    ]
    twins = [
        function("held", "fit", "Fit it."),
        function("held", "Fit", "Fit it."),
        function("held", "fit", ""),
        function("held", "bare", ""),
        function("held", "other", "Other.", "text"),
    ]
    new = [function("held", "fit", "Fit another."), function("held", "bare", "Documented.")]
    assert datasets._split(train + twins + new) == {"train": train, "test": new}


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_return_X_y_must_be_boolean(value):
    with pytest.raises(ValueError, match=f"return_X_y must be .* got {value!r}"):
        load_python_calls(return_X_y=value)


@pytest.mark.parametrize("min_count", [25, 10**9])
def test_min_count_without_labels(source_tree, tmp_path, min_count):
    with pytest.raises(ValueError, match=f"min_count must leave some label, got {min_count}"):
        load_python_calls(data_home=tmp_path, min_count=min_count)


def test_real_data_are_extreme(subsets):
    n_rows, n_labels = subsets["train"].target.shape
    assert n_rows > 10_000
    assert n_labels > 1_000
    assert 0.05 < len(subsets["test"].data) / n_rows < 0.25
    frequency = np.sort(subsets["train"].target.sum(axis=0, dtype=int).A1)[::-1]
    assert frequency[0] > 100 * np.median(frequency)


@pytest.mark.parametrize("subset", ["train", "test"])
def test_bunch_is_consistent(subsets, subset):
    dataset = subsets[subset]
    n_rows = len(dataset.data)
    assert dataset.target.shape == (n_rows, len(dataset.target_names))
    assert len(dataset.names) == len(dataset.summaries) == n_rows
    assert isinstance(dataset.DESCR, str)
    assert dataset.target.format == "csr"
    assert dataset.target.dtype == np.uint8
    assert dataset.target.has_canonical_format
    assert set(dataset.target.data) == {1}
    assert dataset.target.sum(axis=1).min() >= 1
    assert list(dataset.target_names) == sorted(set(dataset.target_names))
    assert all(type(text) is str and text for text in dataset.data)


def test_known_row(subsets, home):
    dataset = load_python_calls(subset="all", data_home=home)
    row = dataset.names.index("sklearn.cluster._kmeans.KMeans.fit")
    calls = set(dataset.target_names[dataset.target[row].indices])
    assert {"check_random_state", "range"} <= calls
    assert dataset.summaries[row] == "Compute k-means clustering."
    assert dataset.data[row].startswith("sklearn cluster kmeans k means fit self x y sample weight")


def test_all_is_train_then_test(subsets, home):
    both = load_python_calls(subset="all", data_home=home)
    for key in ("data", "names", "summaries"):
        assert both[key] == subsets["train"][key] + subsets["test"][key]
    stacked = vstack([subsets["train"].target, subsets["test"].target])
    assert (both.target != stacked).nnz == 0
    for part in subsets.values():
        np.testing.assert_array_equal(both.target_names, part.target_names)


def test_return_X_y(subsets, home):
    data, target = load_python_calls(data_home=home, return_X_y=True)
    assert data == subsets["train"].data
    assert (target != subsets["train"].target).nnz == 0


@pytest.mark.parametrize("min_count", [1, 20])
def test_min_count_holds_in_training_rows(home, subsets, halves, min_count):
    train = load_python_calls(data_home=home, min_count=min_count)
    frequency = dict(zip(train.target_names, train.target.sum(axis=0, dtype=int).A1, strict=True))
    assert min(frequency.values()) >= min_count
    counts = {}
    for row in halves["train"]:
        for call in row.calls:
            counts[call] = counts.get(call, 0) + 1
    assert frequency == {call: n for call, n in counts.items() if n >= min_count}


def test_split_by_module_without_test_code(halves):
    train, test = ({row.module for row in halves[half]} for half in ("train", "test"))
    assert len(train) > len(test) > 50
    assert not train & test
    for module in train | test:
        assert not {"tests", "test", "conftest", "externals"} & set(module.split("."))


def test_no_twins_across_the_split(halves):
    texts = {row.document for row in halves["train"]}
    twins = {(row.signature, row.summary) for row in halves["train"]}
    signatures = {row.signature for row in halves["train"]}
    for row in halves["test"]:
        assert row.document not in texts
        assert (row.signature, row.summary) not in twins
        assert row.summary or row.signature not in signatures


def test_few_near_duplicates_across_the_split(subsets):
    vectorizer = TfidfVectorizer(dtype=np.float32)
    train = vectorizer.fit_transform(subsets["train"].data)
    test = vectorizer.transform(subsets["test"].data[::4])
    assert ((test @ train.T).max(axis=1).toarray() > 0.95).mean() < 0.02
