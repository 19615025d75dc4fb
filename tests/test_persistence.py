"""What is stored of a model: all that training needs, or only what predicts; and by whom."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from models import assert_same_weights, wide_model, wide_problem
from numpy.testing import assert_array_equal
from sklearn.exceptions import InconsistentVersionWarning as SklearnInconsistentVersionWarning

from sklsh import _sklearn
from sklsh._sklearn import InconsistentVersionWarning

KINDS = {
    "batch": {},
    "sample": {"active_set": "sample"},
    "uniform": {"active_set": "sample", "negatives": "uniform", "correction": "head_tail"},
    "bfloat16": {"dtype": "bfloat16"},
    "both": {"dtype": "bfloat16", "active_set": "sample"},
    "logistic": {"loss": "logistic"},
    "rowwise": {"optimizer": "rowwise_adam", "beta_1": 0},
    "sketched": {"optimizer": "cs_adam"},
}
ALL = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
FEATURES, Y = wide_problem()
WEIGHT = np.linspace(0.5, 1.5, 600)


def fitted(**settings):
    return wide_model(**settings).fit(FEATURES, Y, sample_weight=WEIGHT)


def stored(model):
    return pickle.loads(pickle.dumps(model))


@ALL
@pytest.mark.parametrize("store", [stored, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_stored_model_goes_on_bit_for_bit(store, settings):
    model = fitted(**settings)
    for _ in range(2):
        again = store(model)
        model.partial_fit(FEATURES, Y)
        assert_same_weights(again.partial_fit(FEATURES, Y), model)
    again = store(model.set_params(warm_start=True))
    assert_same_weights(again.fit(FEATURES, Y), model.fit(FEATURES, Y))
    assert again.loss_curve_ == model.loss_curve_


@ALL
def test_a_read_only_memory_map_predicts_and_goes_on(settings, tmp_path):
    model = fitted(**settings)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped._network.embedding.weights.flags.writeable
    assert_array_equal(mapped.decision_function(FEATURES), model.decision_function(FEATURES))
    assert_same_weights(mapped.partial_fit(FEATURES, Y), model.partial_fit(FEATURES, Y))


@ALL
@pytest.mark.parametrize("prediction", ["exact", "lsh"])
def test_a_lean_copy_predicts_the_same(settings, prediction):
    model = fitted(prediction=prediction, **settings)
    lean = stored(model.lean_copy())
    assert type(lean) is type(model)
    assert_same_weights(lean, model)
    for one, other in zip(*(m.predict_top_k(FEATURES, 7) for m in (lean, model)), strict=True):
        assert_array_equal(one, other)
    assert lean.get_params() == model.get_params()
    for name in ("n_iter_", "t_", "loss_curve_", "n_active_"):
        assert getattr(lean, name) == getattr(model, name)
    assert_array_equal(lean.classes_, model.classes_)


@pytest.mark.parametrize(
    ["optimizer", "share"],
    [("adam", 0.4), ("rowwise_adam", 0.6), ("momentum", 0.6), ("sgd", 0.95)],
)
def test_a_lean_copy_is_small(optimizer, share):
    model = fitted(optimizer=optimizer)
    lean = model.lean_copy()
    assert len(pickle.dumps(lean)) < share * len(pickle.dumps(model))
    usage = model.memory_usage_
    assert lean.memory_usage_ == {
        "weights": usage["weights"], "optimizer": 0, "sketches": 0, "tables": 0,
        "total": usage["weights"],
    }  # fmt: skip


@ALL
def test_a_lean_copy_can_be_trained_on_and_leaves_the_model_alone(settings):
    model = fitted(**settings)
    untouched, lean = stored(model), model.lean_copy()
    before = lean.loss_curve_[-1]
    for _ in range(4):
        lean.partial_fit(FEATURES, Y)
    assert lean.loss_curve_[-1] < before
    assert lean.n_iter_ == 6
    assert model.n_iter_ == 2
    assert_same_weights(model, untouched)
    assert_same_weights(model.partial_fit(FEATURES, Y), untouched.partial_fit(FEATURES, Y))


def test_a_lean_copy_of_a_memory_map_is_its_own(tmp_path):
    joblib.dump(fitted(), tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    lean = mapped.lean_copy()
    assert lean._network.embedding.weights.flags.writeable
    assert_same_weights(lean, mapped)


@pytest.mark.parametrize("optimizer", ["adam", "rowwise_adam"])
def test_a_lean_copy_starts_the_optimizer_again(optimizer):
    lean = fitted(optimizer=optimizer).lean_copy()
    assert lean._network.optimizer.t == 0
    lean.partial_fit(FEATURES, Y)
    assert lean._network.optimizer.t == lean.t_ - 38
    assert all(slot.size for p in lean._network.parameters for slot in p.slots)


def test_a_pickle_of_this_version_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored(fitted())


@pytest.mark.parametrize("written_by", ["0.0.1", None])
def test_a_pickle_of_another_version_warns(written_by, monkeypatch):
    model = fitted()
    if written_by is None:  # before there was a stamp
        state = model.__getstate__()
        del state["_sklsh_version"]
        load = lambda: type(model)().__setstate__(state)  # noqa: E731
    else:
        with monkeypatch.context() as patch:
            patch.setattr(_sklearn, "__version__", written_by)
            pickled = pickle.dumps(model)
        load = lambda: pickle.loads(pickled)  # noqa: E731
    message = f"SLIDEClassifier from sklsh {written_by or 'an unknown version'} with sklsh"
    with pytest.warns(InconsistentVersionWarning, match=message) as caught:
        load()
    warning = caught[0].message
    assert isinstance(warning, SklearnInconsistentVersionWarning)
    assert warning.current_version == _sklearn.__version__
    assert warning.original_version == (written_by or "an unknown version")
    assert warning.estimator_name == "SLIDEClassifier"


def test_the_stamp_is_no_attribute():
    model = stored(fitted())
    assert "_sklsh_version" not in vars(model)
