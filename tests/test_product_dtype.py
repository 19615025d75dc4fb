"""Training with products in 8-bit integers: as good as in floats, and as reproducible."""

import pickle

import numpy as np
import pytest
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem

from sklsh.metrics import precision_at_k


@pytest.mark.parametrize("loss", ["softmax", "logistic", "softmax_logistic"])
def test_learns_as_well_as_in_floats(loss):
    settings = {"loss": loss, "product_dtype": "int8", "max_iter": 40}
    model = make(**settings).fit(X, CORNERS)
    exact = make(**settings | {"product_dtype": "float32"}).fit(X, CORNERS)
    assert (model.predict_top_k(X, 1)[0] == CLUSTER[:, None]).mean() > 0.4  # one of two labels
    assert precision_at_k(CORNERS, model.predict_top_k(X, 2)[0]) > 0.98
    assert abs(model.loss_curve_[-1] - exact.loss_curve_[-1]) < 0.02


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_random_state_fixes_every_bit_for_any_n_jobs(negatives, dtype, simd_level):
    features, Y = wide_problem()
    one, again, two = (
        wide_model(negatives=negatives, dtype=dtype, product_dtype="int8", n_jobs=n_jobs).fit(
            features, Y
        )
        for n_jobs in (1, 1, 2)
    )
    assert_same_weights(one, again)
    assert_same_weights(one, two)
    other = wide_model(negatives=negatives, dtype=dtype).fit(features, Y)
    assert not np.array_equal(one.coefs_[-1], other.coefs_[-1])


def test_pickle_trains_on_alike():
    features, Y = wide_problem()
    model = wide_model(product_dtype="int8").fit(features, Y)
    stored = pickle.loads(pickle.dumps(model))
    assert_same_weights(stored.partial_fit(features, Y), model.partial_fit(features, Y))


def test_sets_of_each_rows_own_stay_in_floats():
    features, Y = wide_problem()
    own = {"active_set": "sample", "max_iter": 1}
    model = wide_model(**own, product_dtype="int8").fit(features, Y)
    assert_same_weights(model, wide_model(**own).fit(features, Y))
