"""Bring public extreme multi-label data into the form that benchmarks/xmc.py reads.

    python benchmarks/convert_xmc.py mulan SOURCE OUT
    python benchmarks/convert_xmc.py citeulike SOURCE OUT
    python benchmarks/convert_xmc.py annif SOURCE OUT
    python benchmarks/convert_xmc.py xmc SOURCE OUT

write X_train.npz, Y_train.npz, X_test.npz and Y_test.npz to the folder OUT: CSR matrices of
counts, binary features or whatever values the source has, and of 0/1 labels. SOURCE is a
folder with the files of the set, unpacked:

mulan
    bibtex and delicious: github.com/tsoumakas/mulan, data/multi-label/NAME; the repository
    is GPL-3, the data are for research. NAME.xml names the labels, NAME-train.arff and
    NAME-test.arff hold the official split.

citeulike
    citeulike-t: github.com/js05212/citeulike-t; no licence is stated, cite Wang, Chen and
    Li, IJCAI 2013. mult.dat holds the words of the papers, tag-item.dat the papers of each
    tag. A random fifth of the papers (seed 0) is the test half; kept are tags with at least
    2 training rows, then rows with a word and a tag.

annif
    yso-en: github.com/NatLibFi/Annif-corpora, subjects/yso-finna-en; Finna's metadata are
    CC0. One file a subject: its address and name in the first line, then its other names
    and the titles and abstracts of its records, a line each. Inverted, each distinct text is
    a row labelled with all subjects in whose files it stands; kept are those with at least 2
    subjects and 3 words, which leaves out the names. The test half is the tenth whose MD5 is
    divisible by 10. Kept are then subjects with at least 5 and words with at least 3
    training rows, and rows with a word and a subject.

xmc
    Sets of the Extreme Classification Repository, manikvarma.org/downloads/XC, such as
    EURLex-4K, Delicious-200K, WikiLSHTC-325K and Amazon-670K, bag-of-words files train.txt
    and test.txt (rename what is named otherwise); terms on its page. First line: numbers of
    rows, features and labels; then a line a row, "label,label feature:value feature:value".
    benchmarks/xmc.py reads these files as they are too.

The tests run each format on a hand-made miniature. Not run against the originals, which do
not come with this package: mulan, citeulike and annif. The sizes that these sets should have,
training rows + test rows, features, labels: bibtex 4,880 + 2,515, 1,836, 159; delicious
12,920 + 3,185, 500, 983; citeulike-t about 20,750 + 5,194, 20,000, 18,300; yso-en about
310,000 + 34,400, 45,600, 20,400.
"""

import argparse
import hashlib
import re
import shlex
import xml.etree.ElementTree as ElementTree
from itertools import takewhile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklsh.datasets import load_xmc_file

TEST_SHARE = 0.2  # of citeulike-t
MIN_TAG_ROWS, MIN_SUBJECT_ROWS, MIN_WORD_ROWS = 2, 5, 3
MIN_SUBJECTS, MIN_WORDS = 2, 3  # of a text
WORD = re.compile(r"[^\W\d_]{2,}")


def csr(rows, n_columns, dtype=np.uint8):
    """CSR matrix from a dict of column to value, or an iterable of columns, for each row."""
    rows = [row if isinstance(row, dict) else dict.fromkeys(row, 1) for row in rows]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    indices = np.array([column for row in rows for column in row], dtype=np.int32)
    values = np.array([value for row in rows for value in row.values()])
    if len(values) and values.max() > np.iinfo(dtype).max:
        dtype = np.int32
    matrix = sp.csr_matrix((values.astype(dtype), indices, indptr), shape=(len(rows), n_columns))
    matrix.sort_indices()
    return matrix


def columns_of(names):
    """Column of each name, in the order given."""
    return {name: i for i, name in enumerate(names)}


# ---- mulan ----


def read_arff(path, labels):
    """Features and labels of an ARFF file of binary attributes, sparse or dense."""
    with open(path, encoding="utf-8") as file:
        lines = (line.strip() for line in file if line.strip() and line[0] != "%")
        header = list(takewhile(lambda line: not line.lower().startswith("@data"), lines))
        rows = [attributes_of(line) for line in lines]
    names = [shlex.split(x)[1] for x in header if x.lower().startswith("@attribute")]
    is_label = np.array([name in labels for name in names])
    matrix = csr(rows, len(names))
    return matrix[:, ~is_label], matrix[:, is_label]


def attributes_of(line):
    """Numbers of the attributes that are 1 in a line of ARFF data."""
    if line[0] == "{":
        pairs = (pair.split() for pair in line.strip("{} ").split(",") if pair.strip())
        return [int(i) for i, value in pairs if float(value)]
    return [i for i, value in enumerate(line.split(",")) if float(value)]


def convert_mulan(source):
    """Official halves of a mulan set."""
    header = next(source.glob("*.xml"))
    labels = {e.get("name") for e in ElementTree.parse(header).iter() if e.get("name")}
    halves = (read_arff(source / f"{header.stem}-{half}.arff", labels) for half in HALVES)
    return [matrix for half in halves for matrix in half]


# ---- citeulike-t ----


def convert_citeulike(source):
    """Random halves of citeulike-t."""
    with open(source / "mult.dat") as lines:
        words = [
            {int(i): int(n) for i, n in (pair.split(":") for pair in line.split()[1:])}
            for line in lines
        ]
    tags = [[] for _ in words]
    with open(source / "tag-item.dat") as lines:
        for tag, line in enumerate(lines):
            for paper in set(line.split()[1:]):
                tags[int(paper)].append(tag)
    X = csr(words, 1 + max(i for row in words for i in row))
    Y = csr(tags, tag + 1)
    order = np.random.default_rng(0).permutation(len(words))
    n_test = int(TEST_SHARE * len(words))
    train, test = np.sort(order[n_test:]), np.sort(order[:n_test])
    frequent = rows_of_columns(Y[train]) >= MIN_TAG_ROWS
    return without_empty(X, Y[:, frequent], train, test)


# ---- Annif's subject files ----


def convert_annif(source):
    """Halves by MD5 of subject files turned into rows."""
    subjects = {}
    for number, path in enumerate(sorted(source.glob("*.txt"))):
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            subjects.setdefault(line.strip(), set()).add(number)
    counts = {text: counted(WORD.findall(text.lower())) for text in subjects}
    kept = [
        text
        for text, numbers in subjects.items()
        if len(numbers) >= MIN_SUBJECTS and sum(counts[text].values()) >= MIN_WORDS
    ]
    vocabulary = columns_of(sorted({word for text in kept for word in counts[text]}))
    X = csr(
        [{vocabulary[word]: n for word, n in counts[text].items()} for text in kept],
        len(vocabulary),
    )
    Y = csr([subjects[text] for text in kept], number + 1)
    is_test = np.array([in_test(text) for text in kept])
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    words = rows_of_columns(X[train]) >= MIN_WORD_ROWS
    labels = rows_of_columns(Y[train]) >= MIN_SUBJECT_ROWS
    return without_empty(X[:, words], Y[:, labels], train, test)


def counted(words):
    """How often each word stands there."""
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def in_test(text):
    """Whether the text falls into the test tenth."""
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 10 == 0


# ---- Extreme Classification Repository ----


def convert_xmc(source):
    """The halves as they are."""
    return [matrix for half in HALVES for matrix in load_xmc_file(source / f"{half}.txt")]


# ---- common ----


def rows_of_columns(matrix):
    """Number of rows that have each column."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1])


def without_empty(X, Y, train, test):
    """Both halves, without rows that have no feature or no label left."""
    full = (np.diff(X.indptr) > 0) & (np.diff(Y.indptr) > 0)
    train, test = train[full[train]], test[full[test]]
    return X[train], Y[train], X[test], Y[test]


HALVES = ("train", "test")
FORMATS = {
    "mulan": convert_mulan,
    "citeulike": convert_citeulike,
    "annif": convert_annif,
    "xmc": convert_xmc,
}


def main(arguments=None):
    """Convert one set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    matrices = FORMATS[args.format](args.source)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, matrix in zip(("X_train", "Y_train", "X_test", "Y_test"), matrices, strict=True):
        sp.save_npz(args.out / f"{name}.npz", sp.csr_matrix(matrix))
        print(f"{name}: {matrix.shape[0]:,} x {matrix.shape[1]:,}, {matrix.nnz:,} values")


if __name__ == "__main__":
    main()
