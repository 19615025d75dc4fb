"""Hidden units: dropped in training, all there for prediction; those without use are told of."""

import numpy as np
import pytest
import scipy.sparse as sp
from models import CLUSTER, X, assert_same_weights, make, wide_model, wide_problem
from sklearn.exceptions import ConvergenceWarning


@pytest.mark.parametrize("product_dtype", ["float32", "int8"])
@pytest.mark.parametrize("layers", [(16,), (24, 16)])
def test_dropout_is_fixed_by_the_seed_at_any_n_jobs(layers, product_dtype):
    features, Y = wide_problem()
    settings = {"hidden_layer_sizes": layers, "product_dtype": product_dtype}
    dropped = [
        wide_model(**settings, hidden_dropout=0.5, n_jobs=n_jobs).fit(features, Y)
        for n_jobs in (1, 2)
    ]
    assert_same_weights(*dropped)
    whole = wide_model(**settings).fit(features, Y)
    assert not np.array_equal(whole.coefs_[-1], dropped[0].coefs_[-1])


def test_dropout_still_learns_and_leaves_prediction_alone():
    model = make(hidden_layer_sizes=(64,), hidden_dropout=0.5).fit(X, CLUSTER)
    assert model.score(X, CLUSTER) > 0.95
    np.testing.assert_array_equal(model.decision_function(X), model.decision_function(X))


def test_dropout_goes_on_in_partial_fit():
    whole, dropped = (
        make(hidden_dropout=rate).partial_fit(X, CLUSTER, classes=range(4)) for rate in (0, 0.5)
    )
    assert not np.array_equal(whole.coefs_[0], dropped.coefs_[0])


def test_auto_drops_units_for_sparse_rows_alone():
    def fitted(form, rate):
        return make(hidden_dropout=rate, input_dropout=0).fit(form(X), CLUSTER)

    assert_same_weights(fitted(sp.csr_array, "auto"), fitted(sp.csr_array, 0.2))
    assert_same_weights(fitted(np.copy, "auto"), fitted(np.copy, 0))


def test_a_fit_that_silences_the_units_warns():
    with pytest.warns(ConvergenceWarning, match="16 of 16 hidden units are zero for all of 200"):
        make(learning_rate_init=3, learning_rate="constant").fit(X + 50, CLUSTER)


def test_silent_units_are_counted_in_all_layers():
    network = make(hidden_layer_sizes=(16, 8)).fit(X, CLUSTER)._network
    before = network.silent_units(X)
    network.biases[1].weights[0, :3] = -1e6
    live = (network.layers(X, 1)[1][:, :3] > 0).any()
    assert not live
    assert 3 <= network.silent_units(X) <= before + 3
    network.biases[0].weights[0, :16] = -1e6
    network.biases[1].weights[0, :8] = 1
    assert network.silent_units(X) == 16
