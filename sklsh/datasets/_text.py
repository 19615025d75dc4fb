"""Words of texts as tokens."""

from numbers import Integral

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer


def iter_word_ngrams(
    texts,
    *,
    ngram_range=(1, 2),
    lowercase=True,
    strip_accents=None,
    stop_words=None,
    token_pattern=r"(?u)\b\w\w+\b",
):
    r"""Turn texts into rows of word n-grams, one after the other.

    These are the n-grams of :class:`~sklearn.feature_extraction.text.CountVectorizer` with the
    same parameters, but no vocabulary is kept: they are meant for models that hash tokens.

    Parameters
    ----------
    texts : iterable of str or bytes
        Texts; bytes are taken for UTF-8.

    ngram_range : tuple (min_n, max_n), default=(1, 2)
        Fewest and most words of an n-gram.

    lowercase : bool, default=True
        Whether all letters become small ones.

    strip_accents : {"ascii", "unicode"} or callable, default=None
        How to take accents off letters, if at all.

    stop_words : {"english"} or list of str, default=None
        Words to leave out.

    token_pattern : str, default=r"(?u)\b\w\w+\b"
        Regular expression of a word; by default two or more letters, digits or underscores.

    Yields
    ------
    list of str
        N-grams of a text, their words parted by blanks; repeated ones are repeated.

    Raises
    ------
    ValueError
        If `texts` is a single text, or a parameter has a value that it cannot have; at once.
        If the bytes of a text are not UTF-8; when it is due.

    TypeError
        If a text is neither str nor bytes; when it is due.

    Examples
    --------
    >>> from sklsh.datasets import iter_word_ngrams
    >>> list(iter_word_ngrams(["To be, or not", "Be!"]))
    [['to', 'be', 'or', 'not', 'to be', 'be or', 'or not'], ['be']]
    """
    if isinstance(texts, (str, bytes)):
        raise ValueError(
            f"texts must be an iterable of texts; got a single {type(texts).__name__}."
        )
    _check_ngram_range(ngram_range)
    if not isinstance(lowercase, (bool, np.bool_)):
        raise ValueError(f"lowercase must be True or False; got {lowercase!r}.")
    if not isinstance(token_pattern, str):
        raise ValueError(f"token_pattern must be a str; got {token_pattern!r}.")
    vectorizer = CountVectorizer(
        ngram_range=tuple(ngram_range),
        lowercase=lowercase,
        strip_accents=strip_accents,
        stop_words=stop_words,
        token_pattern=token_pattern,
    )
    return _rows(vectorizer.build_analyzer(), texts)


def _rows(analyze, texts):
    for i, text in enumerate(texts):
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"Text {i} must be str or bytes; got {text!r}.")
        yield analyze(text)


def _check_ngram_range(ngram_range):
    if (
        not isinstance(ngram_range, (tuple, list))
        or len(ngram_range) != 2
        or not all(isinstance(n, Integral) and not isinstance(n, bool) for n in ngram_range)
        or not 1 <= ngram_range[0] <= ngram_range[1]
    ):
        raise ValueError(
            "ngram_range must be a pair of integers (min_n, max_n), 1 <= min_n <= max_n; "
            f"got {ngram_range!r}."
        )
