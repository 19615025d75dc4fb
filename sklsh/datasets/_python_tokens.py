"""A stream of tokens for language models, made from the installed Python sources."""

import tokenize
import warnings
from collections import defaultdict
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklsh.datasets._sources import cached, check_parameters, split_percent

_DESCR = """\
Which token comes next in a Python program? Each document is a module of an installed package as
ids of its tokens: names, keywords, operators and marks of lines and indentation. Training,
validation and test documents are different modules.
"""
_VERSION = 1  # of the tokens that the same sources give
_SUBSETS = ("train", "validation", "test")
_UNKNOWN = "<unk>"
_MARKS = {
    tokenize.NEWLINE: "<newline>",
    tokenize.INDENT: "<indent>",
    tokenize.DEDENT: "<dedent>",
    tokenize.STRING: "<string>",
}
_DROPPED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
# Formatted strings are one token, or from Python 3.12 on many, which have these at their ends.
_STRING_STARTS = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")}
_STRING_ENDS = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")}


class _Corpus(NamedTuple):
    """What the cache holds; the last three are by subset, documents one after the other."""

    words: list  # seen in training, by falling count: those of the ids from 1
    counts: list  # of the words in training
    modules: dict
    lengths: dict
    tokens: dict


def load_python_tokens(*, subset="train", data_home=None, min_count=2):
    """Load the tokens of installed Python modules, as a text for language models.

    Millions of tokens of tens of thousands of kinds, long-tailed, that need no download: they
    are made from the sources of the standard library, numpy, scipy, scikit-learn and what it
    needs, and vary with their versions. The first call reads these sources, which takes tens of
    seconds; later calls read a cache.

    Parameters
    ----------
    subset : {"train", "validation", "test"}, default="train"
        Which modules to load: most, or one of two parts of about a tenth.
    data_home : str or path-like, default=None
        Folder under which to cache the data, in a subfolder `sklsh`; by default that of
        :func:`sklearn.datasets.get_data_home`. A warning tells if this fails.
    min_count : int, default=2
        How often a token must be in the training modules to be in the vocabulary.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With these attributes:

        tokens : ndarray of shape (n,), dtype int32
            Ids of the tokens, one document after the other.
        documents : ndarray of shape (n_documents,), dtype int64
            Where each document starts in `tokens`; none is empty.
        modules : list of str
            Name of each document, such as "sklearn.cluster._kmeans"; sorted.
        vocabulary : ndarray of shape (n_tokens,), dtype str
            The token of each id: "<unk>", which stands for all that are too rare, then the
            others by falling frequency in the training modules. The same for all subsets.
        DESCR : str
            Description of the data.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have, or if `min_count` keeps no token.

    See Also
    --------
    make_ngram_pairs : Rows for models that predict the next token.
    load_python_calls : Functions of the same sources, and what they call.

    Notes
    -----
    *Tokens.* Those of the module :mod:`tokenize`, which tells them apart as Python does: names
    and keywords, operators, and "<newline>", "<indent>" and "<dedent>", the end of a statement
    and the begin and end of a block. Whole numbers of one or two digits stay as they are; all
    other numbers are "<number>". Strings are "<string>", whatever their prefix. Comments and
    line breaks within statements are left out.

    *Modules.* Test code, the folders `externals`, where packages keep copies of one another,
    and files that Python cannot read are left out.

    *Split.* By a hash of the last part of the module's path, as in :func:`load_python_calls`:
    the training modules are the same. A validation module is dropped if its tokens are just
    those of a training module, and a test module if they are those of either.

    Examples
    --------
    >>> from sklsh.datasets import load_python_tokens
    >>> dataset = load_python_tokens()
    >>> len(dataset.tokens) > 1_000_000 and len(dataset.vocabulary) > 10_000
    True
    >>> start = dataset.documents[dataset.modules.index("bisect")]
    >>> print(*dataset.vocabulary[dataset.tokens[start : start + 10]])
    <string> <newline> def insort_right ( a , x , lo
    """
    check_parameters(_SUBSETS, subset, data_home, min_count)
    corpus = cached("python_tokens", _VERSION, data_home, make=_make_corpus, restore=_restored)
    n_kept = np.count_nonzero(corpus.counts >= min_count)
    if n_kept == 0:
        raise ValueError(f"min_count must leave some token, got {min_count!r}.")
    tokens, lengths = corpus.tokens[subset], corpus.lengths[subset]
    tokens[tokens > n_kept] = 0
    return Bunch(
        tokens=tokens,
        documents=np.cumsum(lengths) - lengths,
        modules=corpus.modules[subset],
        vocabulary=np.array([_UNKNOWN, *corpus.words[:n_kept]]),
        DESCR=_DESCR,
    )


def _make_corpus(sources):
    ids = defaultdict(count().__next__)
    documents = {subset: {} for subset in _SUBSETS}
    for module, path in sources:
        words = _read_words(path)
        documents[_subset(module)][module] = tuple(ids[word] for word in words)
    documents = _without_twins(documents)
    words, counts, ranks = _ranked(list(ids), documents["train"].values())
    return _Corpus(
        words=words,
        counts=counts,
        modules={subset: list(part) for subset, part in documents.items()},
        lengths={subset: list(map(len, part.values())) for subset, part in documents.items()},
        tokens={
            subset: ranks[_joined(part.values())].tolist() for subset, part in documents.items()
        },
    )


def _restored(content):
    words, counts, modules, lengths, tokens = content
    return _Corpus(
        words=words,
        counts=np.array(counts),
        modules=modules,
        lengths={subset: np.array(lengths[subset], dtype=np.int64) for subset in _SUBSETS},
        tokens={subset: np.array(tokens[subset], dtype=np.int32) for subset in _SUBSETS},
    )


def _subset(module):
    percent = split_percent(module)
    return "test" if percent < 10 else "validation" if percent < 20 else "train"


def _without_twins(documents):
    """Drop the documents that are empty or that are there in a subset before their own."""
    known, kept = {()}, {}
    for subset, part in documents.items():
        kept[subset] = {module: ids for module, ids in part.items() if ids not in known}
        known.update(part.values())
    return kept


def _ranked(words, documents):
    """Sort the words that are in the documents by falling count, equals by the alphabet.

    Returns them, their counts, and for each of all words its place among them from 1, or 0.
    """
    counts = np.bincount(_joined(documents), minlength=len(words))
    order = sorted(np.flatnonzero(counts), key=lambda i: (-counts[i], words[i]))
    ranks = np.zeros(len(words), dtype=np.int32)
    ranks[order] = np.arange(1, len(order) + 1)
    return [words[i] for i in order], counts[order].tolist(), ranks


def _joined(documents):
    return np.fromiter(chain.from_iterable(documents), dtype=np.intp)


def _read_words(path):
    """List the tokens of a source file as words; none if it cannot be read."""
    try:
        with warnings.catch_warnings(), open(path, "rb") as lines:
            warnings.simplefilter("ignore")
            return list(_words(tokenize.tokenize(lines.readline)))
    except (OSError, SyntaxError, tokenize.TokenError, ValueError):
        return []


def _words(tokens):
    depth = 0  # of f-strings inside one another
    for kind, text, *_ in tokens:
        if kind in _STRING_STARTS:
            if depth == 0:
                yield "<string>"
            depth += 1
        elif kind in _STRING_ENDS:
            depth -= 1
        elif depth or kind in _DROPPED:
            continue
        elif kind == tokenize.ERRORTOKEN:
            raise SyntaxError(f"{text!r} is no token.")
        elif kind == tokenize.NUMBER:
            yield text if text.isdecimal() and len(text) <= 2 else "<number>"
        else:
            yield _MARKS.get(kind, text)
