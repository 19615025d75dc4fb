"""What the loaders of installed sources share: which files, the split, the cache."""

import gzip
import re
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from sklsh.datasets import (
    _python_calls,
    _python_tokens,
    _sources,
    load_python_calls,
    load_python_tokens,
)


class Loader(NamedTuple):
    """A loader, and the function of its module that reads a file."""

    load: object
    module: object
    reader: str


@pytest.fixture(params=["python_calls", "python_tokens"])
def loader(request):
    return {
        "python_calls": Loader(load_python_calls, _python_calls, "_read_functions"),
        "python_tokens": Loader(load_python_tokens, _python_tokens, "_read_words"),
    }[request.param]


def as_lists(dataset):
    """Turn all that is in a Bunch into what == compares."""
    dense = {key: v.toarray() if sp.issparse(v) else v for key, v in dataset.items()}
    return {key: np.asarray(value).tolist() for key, value in dense.items()}


def test_sources_leave_out_tests_and_what_is_no_module(source_tree):
    sources = _sources.find_sources({"root": source_tree})
    modules = [module for module, _ in sources]
    letters = [f"root.mod_{letter}" for letter in "abcdefghijklmnopqrst"]
    assert modules == ["root", "root.broken", "root.latin", *letters, "root.package"]
    assert dict(sources)["root.mod_c"] == str(source_tree / "mod_c.py")


def test_root_can_be_one_file(source_tree):
    path = source_tree / "mod_a.py"
    assert _sources.find_sources({"single": path}) == [("single", str(path))]


def test_split_goes_by_the_last_part_of_a_path():
    percents = [_sources.split_percent(f"package.module{i}") for i in range(5000)]
    assert min(percents) == 0
    assert max(percents) == 99
    assert np.bincount(percents).max() < 2 * 50
    for module in ("module7", "other.module7", "package.sub._module7"):
        assert _sources.split_percent(module) == percents[7]


def test_builds_are_identical(loader, source_tree, tmp_path):
    contents = []
    for name in ("one", "two"):
        loader.load(data_home=tmp_path / name)
        (path,) = (tmp_path / name / "sklsh").iterdir()
        contents.append((path.name, path.read_bytes()))
    assert contents[0] == contents[1]


def test_cache_key_follows_the_sources(loader, source_tree, tmp_path):
    first = loader.load(data_home=tmp_path)
    (source_tree / "mod_b.py").write_text("def common_call(): common_call(common_call())")
    second = loader.load(data_home=tmp_path)
    assert as_lists(first) != as_lists(second)
    assert len(list((tmp_path / "sklsh").iterdir())) == 2


def test_cache_key_follows_the_version(loader, source_tree, tmp_path, monkeypatch):
    loader.load(data_home=tmp_path)
    monkeypatch.setattr(loader.module, "_VERSION", loader.module._VERSION + 1)
    loader.load(data_home=tmp_path)
    assert len(list((tmp_path / "sklsh").iterdir())) == 2


def test_cache_is_reused(loader, source_tree, tmp_path, monkeypatch):
    first = loader.load(data_home=tmp_path)
    monkeypatch.delattr(loader.module, loader.reader)
    assert as_lists(loader.load(data_home=tmp_path)) == as_lists(first)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda content: content[: len(content) // 2],
        lambda content: content[:50] + bytes(10) + content[60:],
        lambda content: b"",
        lambda content: b"no gzip",
        lambda content: gzip.compress(b"null"),
        lambda content: gzip.compress(b'{"train": [[1]], "test": []}'),
    ],
    ids=["cut", "half", "overwritten", "empty", "foreign", "null", "fields"],
)
def test_damaged_cache_is_rebuilt(loader, source_tree, tmp_path, damage):
    first = loader.load(data_home=tmp_path)
    (path,) = (tmp_path / "sklsh").iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert as_lists(loader.load(data_home=tmp_path)) == as_lists(first)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_unwritable_data_home_warns(loader, source_tree, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be cached") as record:
        dataset = loader.load(data_home=tmp_path / "file" / "home")
    assert as_lists(dataset) == as_lists(loader.load(data_home=tmp_path / "home"))
    assert record[0].filename == __file__


def test_failed_write_leaves_nothing_behind(loader, source_tree, tmp_path, monkeypatch):
    def fail(source, target):
        raise PermissionError("in use")

    monkeypatch.setattr(_sources.os, "replace", fail)
    with pytest.warns(UserWarning, match="in use"):
        loader.load(data_home=tmp_path)
    assert not list((tmp_path / "sklsh").iterdir())


def test_build_is_silent(loader, source_tree, tmp_path, capfd):
    (source_tree / "escape.py").write_text(r"def f(): return g('\d', 0if 1else 2)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader.load(data_home=tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name, values",
    [
        ("subset", ["validate", None, ["train"]]),
        ("data_home", [3, True]),
        ("min_count", [0, -1, 2.0, "5", None, True]),
    ],
)
def test_bad_parameters_are_named(loader, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"{name} must be .* got {re.escape(repr(value))}"):
            loader.load(**{name: value})


@pytest.mark.parametrize(
    "load, subset, choices",
    [
        (load_python_calls, "validation", '"train", "test" or "all"'),
        (load_python_tokens, "all", '"train", "validation" or "test"'),
    ],
)
def test_subset_of_another_loader(load, subset, choices):
    with pytest.raises(ValueError, match=f"subset must be {choices}, got '{subset}'"):
        load(subset=subset)
