"""Real extreme multi-label data made from the Python sources installed with the package."""

import ast
import re
import warnings
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import Bunch

from sklsh.datasets._sources import cached, check_parameters, split_percent

_DESCR = """\
Which functions does a Python function call? Each row is a function of an installed package, told
by the words of its module, class, name, arguments and docstring; its labels are the names of the
functions that its body calls. Training and test rows come from different modules.
"""
_VERSION = 1  # of the rows that the same sources give
# Of the modules; as only test rows are dropped as twins, fewer of the rows.
_TEST_PERCENT = 20
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")


class _Function(NamedTuple):
    """What is kept of a function; `signature` and `document` are words separated by blanks."""

    module: str
    name: str
    signature: str
    summary: str
    document: str
    calls: list


def load_python_calls(*, subset="train", data_home=None, min_count=2, return_X_y=False):
    """Load functions of installed Python packages, labelled with the functions they call.

    Tens of thousands of rows with thousands of long-tailed labels that need no download: they
    are made from the sources of the standard library, numpy, scipy, scikit-learn and what it
    needs, and vary with their versions. The first call parses these sources, which takes some
    seconds; later calls read a cache.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Which rows to load; "all" gives the training rows followed by the test rows.
    data_home : str or path-like, default=None
        Folder under which to cache the data, in a subfolder `sklsh`; by default that of
        :func:`sklearn.datasets.get_data_home`. A warning tells if this fails.
    min_count : int, default=2
        Number of training rows that a label must have to be kept.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch` or tuple
        Only the first two of these attributes, as a tuple, if `return_X_y` is True.

        data : list of str
            The text of each function, as lower-case words separated by blanks.
        target : CSR matrix of shape (n_rows, n_labels), dtype uint8
            1 where the function calls the label.
        target_names : ndarray of shape (n_labels,)
            The labels, sorted; the same in all subsets.
        names : list of str
            Qualified names, such as "sklearn.cluster._kmeans.KMeans.fit"; some repeat.
        summaries : list of str
            First line of each docstring, or "".
        DESCR : str
            Description of the data.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have, or if `min_count` keeps no label.

    Notes
    -----
    *Text.* The words of the module's path, the enclosing classes, the function's name, its
    arguments' names and its docstring, with identifiers split at underscores and capitals.

    *Labels.* The last names of what the body calls: `c` for `a.b.c()`. Decorators and default
    values are no part of the body. A function inside a function is no row; its calls count for
    the outer one. Functions without any kept label are left out, and so are all test code and
    the folders `externals`, where packages keep copies of one another.

    *Split.* By a hash of the last part of the module's path, so that modules that were copied
    or that implement the same interface stay together. A test row is dropped if a training row
    has the same text, or the same name and first line of docstring, or, where the test row has
    no docstring, the same name and arguments.

    Examples
    --------
    >>> from sklsh.datasets import load_python_calls
    >>> dataset = load_python_calls()
    >>> n_rows, n_labels = dataset.target.shape
    >>> n_rows > 10_000 and n_labels > 1_000 and "append" in dataset.target_names
    True
    """
    check_parameters(("train", "test", "all"), subset, data_home, min_count)
    if not isinstance(return_X_y, (bool, np.bool_)):
        raise ValueError(f"return_X_y must be True or False, got {return_X_y!r}.")
    halves = cached("python_calls", _VERSION, data_home, make=_make_halves, restore=_restored)
    binarizer = CountVectorizer(analyzer=attrgetter("calls"), min_df=min_count, dtype=np.uint8)
    try:
        binarizer.fit(halves["train"])
    except ValueError as error:
        raise ValueError(f"min_count must leave some label, got {min_count!r}.") from error
    rows = halves["train"] + halves["test"] if subset == "all" else halves[subset]
    target = binarizer.transform(rows)
    labelled = np.flatnonzero(np.diff(target.indptr))
    rows, target = [rows[i] for i in labelled], target[labelled]
    bunch = Bunch(
        data=[row.document for row in rows],
        target=target,
        target_names=binarizer.get_feature_names_out().astype(str),
        names=[row.name for row in rows],
        summaries=[row.summary for row in rows],
        DESCR=_DESCR,
    )
    return (bunch.data, bunch.target) if return_X_y else bunch


def _make_halves(sources):
    return _split(chain.from_iterable(_read_functions(*source) for source in sources))


def _restored(halves):
    return {half: [_Function(*fields) for fields in halves[half]] for half in ("train", "test")}


def _split(functions):
    """Split `functions` by module and drop the test functions with a twin in training."""
    halves = {"train": [], "test": []}
    for function in functions:
        halves["test" if _is_held_out(function.module) else "train"].append(function)
    known = set(chain.from_iterable(map(_marks, halves["train"])))
    # All that tells a test row without docstring from a documented namesake is its place.
    known.update(function.signature for function in halves["train"])
    halves["test"] = [function for function in halves["test"] if known.isdisjoint(_marks(function))]
    return halves


def _is_held_out(module):
    return split_percent(module) < _TEST_PERCENT


def _marks(function):
    """Return what a function may share with a twin."""
    named = (_words(function.name.rpartition(".")[2]), function.summary)
    return named if function.summary else function.signature, function.document


def _read_functions(module, path):
    """List the functions of a source file that call anything; none if it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    functions = (_describe(module, *definition) for definition in _definitions(tree.body))
    return [function for function in functions if function.calls]


def _definitions(statements, classes=()):
    """Yield (enclosing classes, node) of the functions that are not inside another one."""
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield classes, node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, (*classes, node.name))
        else:
            for block in ("body", "handlers", "cases", "orelse", "finalbody"):
                yield from _definitions(getattr(node, block, ()), classes)


def _describe(module, classes, node):
    args = [child.arg for child in ast.iter_child_nodes(node.args) if isinstance(child, ast.arg)]
    docstring = ast.get_docstring(node) or ""
    return _Function(
        module=module,
        name=".".join((module, *classes, node.name)),
        signature=_words(node.name, *args),
        summary=docstring.partition("\n")[0],
        document=_words(module, *classes, node.name, *args, docstring),
        calls=_called_names(node.body),
    )


def _words(*texts):
    return " ".join(_WORD.findall(_HUMPS.sub(" ", " ".join(texts)))).lower()


def _called_names(body):
    """List the sorted names that `body` calls: `c` for `c()` and for `a.b.c()`."""
    nodes = chain.from_iterable(map(ast.walk, body))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    return sorted({getattr(func, "attr", getattr(func, "id", None)) for func in called} - {None})
