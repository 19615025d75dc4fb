"""Training with products in 8-bit integers: as good as in floats, and as reproducible."""

import pickle

import numpy as np
import pytest
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem

from sklsh._samplers import product_dtype_for
from sklsh.metrics import precision_at_k
from sklsh.optimizers import Adam


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
    settings = {"negatives": negatives, "dtype": dtype, "product_dtype": "float32"}
    other = wide_model(**settings).fit(features, Y)
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


@pytest.mark.parametrize("width", [16, 2**16 + 1])
def test_auto_is_8_bit_where_steps_are_sampled_and_gain(simd_level, width):
    fast = simd_level == "avx512_vnni" and width == 16
    for changed, sampled in [
        ({}, True), ({"negatives": "uniform"}, True), ({"negatives": "in_batch"}, True),
        ({"active_set": "full"}, False), ({"active_set": "sample"}, False),
    ]:  # fmt: skip
        settings = wide_model(hidden_layer_sizes=width, **changed)
        wanted = "int8" if sampled and fast else "float32"
        assert product_dtype_for(settings, 3000, width) == wanted
        assert product_dtype_for(settings, 2048, width) == "float32"
    assert product_dtype_for(settings.set_params(product_dtype="int8"), 9, 9) == "int8"


def test_auto_leaves_the_step_to_an_optimizer_that_has_its_own():
    class Clipped(Adam):
        def step(self, *args):
            super().step(*args)

    assert product_dtype_for(wide_model(optimizer=Clipped()), 3000, 16) == "float32"
    plain, by_name = (wide_model(optimizer=o) for o in (Adam(), "adam"))
    assert product_dtype_for(plain, 3000, 16) == product_dtype_for(by_name, 3000, 16)


def test_auto_is_what_the_network_has():
    features, Y = wide_problem()
    model = wide_model().fit(features, Y)
    wanted = product_dtype_for(model, Y.shape[1], 16)
    assert model._network.output.product_dtype == wanted
    assert make().fit(X, CORNERS)._network.output.product_dtype == "float32"
