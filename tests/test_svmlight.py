"""Multi-label svmlight files: as scikit-learn reads them, with a sparse indicator."""

import re
from io import BytesIO

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


@pytest.mark.parametrize("n_classes", [0, 1.0, "3", True])
def test_bad_n_classes_is_named(n_classes):
    with pytest.raises(ValueError, match=f"n_classes must be .*; got {n_classes!r}"):
        load_svmlight_multilabel(BytesIO(b"0 1:1\n"), n_classes=n_classes)
