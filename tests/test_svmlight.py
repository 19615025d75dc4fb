"""Multi-label svmlight files: as scikit-learn reads them, with a sparse indicator."""

import gzip
import os
import re
from io import BytesIO, StringIO

import numpy as np
import pytest
import scipy.sparse as sp
from fuzz_xmc import check_equal, check_valid
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
from sklearn.preprocessing import MultiLabelBinarizer

from sklsh.datasets import load_svmlight_multilabel, load_xmc_file


@pytest.mark.parametrize("zero_based", [True, False, "auto"])
def test_equals_scikit_learn_and_its_binarizer(zero_based):
    rng = np.random.default_rng(0)
    X = sp.random_array((80, 12), density=0.3, format="csr", dtype=np.float32, rng=rng)
    Y = (rng.random((80, 9)) < 0.15).astype(int)
    Y[:, 8] = 0
    Y[0, 7] = 1
    file = BytesIO()
    dump_svmlight_file(X, Y, file, multilabel=True, zero_based=bool(zero_based))
    options = {"n_features": 13, "zero_based": zero_based}
    X_expected, labels = load_svmlight_file(
        BytesIO(file.getvalue()), dtype=np.float32, multilabel=True, **options
    )
    Y_expected = MultiLabelBinarizer(classes=range(9)).fit_transform(labels)
    X_back, Y_back = load_svmlight_multilabel(BytesIO(file.getvalue()), n_classes=9, **options)
    check_valid(X_back, Y_back)
    check_equal(X_back, sp.csr_array(X_expected))
    np.testing.assert_array_equal(Y_back.toarray(), Y_expected)
    np.testing.assert_array_equal(Y_back.toarray(), Y)
    _, found = load_svmlight_multilabel(BytesIO(file.getvalue()), **options)
    assert found.shape == (80, 8)


def test_equals_the_other_format_where_they_are_the_same(tmp_path):
    text = b"0,2,2 0:0.5 3:1.5\n1 1:2\n 2:1e-5\n"
    (tmp_path / "rows").write_bytes(text)
    loaded = (
        load_svmlight_multilabel(tmp_path / "rows", zero_based=True),
        load_xmc_file(BytesIO(text)),
    )
    for one, other in zip(*loaded, strict=True):
        check_equal(one, other)


@pytest.mark.parametrize(
    "labels, n_classes, found",
    [("-1", None, "-1"), ("0,1.5", None, "1.5"), ("nan", None, "nan"), ("inf", None, "inf"),
     ("3,4", 4, "4"), ("1e10", None, "1e+10")],
)  # fmt: skip
def test_labels_that_are_no_columns(labels, n_classes, found):
    text = b"0 1:1\n" + labels.encode() + b" 1:1\n"
    with pytest.raises(ValueError, match=rf"row 1 .* has {re.escape(found)}\.$"):
        load_svmlight_multilabel(BytesIO(text), n_classes=n_classes)


def test_columns_given_make_files_agree(tmp_path):
    train, test = b"0 0:1 2:1\n", b"0 1:1 2:1\n"  # no feature 0 in the second
    for text, row in ((train, [1, 0, 1, 0]), (test, [0, 1, 1, 0])):
        X, _ = load_svmlight_multilabel(BytesIO(text), n_features=4)
        assert X.toarray().tolist() == [row]
    X, _ = load_svmlight_multilabel(BytesIO(test), n_features=4, zero_based=False)
    assert X.toarray().tolist() == [[1, 1, 0, 0]]
    X, _ = load_svmlight_multilabel(BytesIO(test))
    assert X.toarray().tolist() == [[1, 1]]
    (tmp_path / "rows").write_bytes(b"0 1:1 4:1\n")
    with pytest.raises(
        ValueError, match="n_features must be at least 5 for .*rows; got 4. .*=False"
    ):
        load_svmlight_multilabel(tmp_path / "rows", n_features=4)


@pytest.mark.parametrize("value, found", [("nan", "nan"), ("-inf", "-inf"), ("1e39", "inf")])
def test_values_that_are_not_finite_are_refused(value, found):
    text = b"0 0:1\n1\n2 1:2 3:" + value.encode() + b"\n"
    with pytest.raises(
        ValueError, match=rf"^BytesIO: .* row 2 .* column 3 of X would be {found}\.$"
    ):
        load_svmlight_multilabel(BytesIO(text))


@pytest.mark.parametrize(
    "text", [b"0 9999999999:1\n", b"0 1\n", b"0, 1:1\n", b"0 1:\n", b"0 -1:1\n", b"0 2:1 1:1\n",
             b"x 1:1\n", b"\xff\xfe0\0\n", gzip.compress(b"0 1:1\n", mtime=0)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["rows", "rows.gz"])
def test_malformed_files_are_named(tmp_path, text, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name == "rows.gz" else text)
    for path_of_a_kind in (path, str(path), os.fsencode(path)):
        with pytest.raises(
            ValueError, match=f"^{re.escape(str(path))}: expected rows such as '0,2 "
        ):
            load_svmlight_multilabel(path_of_a_kind)


def test_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "rows.gz"
    packed = gzip.compress(b"0 1:1\n" * 100, mtime=0)
    for damaged in (packed[:-9], b"0 1:1\n", packed[:12] + b"\xff" * 9 + packed[21:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"rows\.gz: expected rows"):
            load_svmlight_multilabel(path)


def test_what_is_no_binary_file():
    with pytest.raises(TypeError, match="^path must .* binary mode; StringIO gives str"):
        load_svmlight_multilabel(StringIO("0 1:1\n"))
    for path in (None, 3.5):
        with pytest.raises(TypeError, match=f"^path must .*; got {path}"):
            load_svmlight_multilabel(path)


@pytest.mark.parametrize("n_features", [0, 2.0, 2**70, True])
def test_bad_n_features_is_named(n_features):
    with pytest.raises(ValueError, match=f"n_features must be .*; got {n_features!r}"):
        load_svmlight_multilabel(BytesIO(b"0 1:1\n"), n_features=n_features)


@pytest.mark.parametrize("zero_based", ["yes", None, 1])
def test_bad_zero_based_is_named(zero_based):
    with pytest.raises(ValueError, match=f'zero_based must be "auto", .*; got {zero_based!r}'):
        load_svmlight_multilabel(BytesIO(b"0 1:1\n"), zero_based=zero_based)


@pytest.mark.parametrize("n_classes", [0, 1.0, "3", True])
def test_bad_n_classes_is_named(n_classes):
    with pytest.raises(ValueError, match=f"n_classes must be .*; got {n_classes!r}"):
        load_svmlight_multilabel(BytesIO(b"0 1:1\n"), n_classes=n_classes)
