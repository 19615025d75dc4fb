"""Training in rounds: parts of a plan, summaries that add up, models that are put together."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.utils import check_random_state

from sklsh import (
    KernelSampledSGD,
    KernelSampledSGDRegressor,
    LSHSoftmaxClassifier,
    MISSIONClassifier,
    MISSIONRegressor,
    SLIDEClassifier,
)
from sklsh._averaging import changes_between, put_together
from sklsh._feed_forward import FeedForward
from sklsh._storage import as_float32
from sklsh._summary import Moments, united
from sklsh._targets import LabelCounts
from sklsh._training import Part
from sklsh.negatives._protocol import Inclusion
from sklsh.optimizers import Adam

X, Y = make_classification(600, 12, n_informative=8, n_classes=3, random_state=0)
X = X.astype(np.float32)
PARTS = [(X[:200], Y[:200]), (X[200:500], Y[200:500]), (X[500:], Y[500:])]


def begun(estimator, parts=PARTS):
    """The estimator before the first round, and the summary it goes by."""
    summaries = [copy.copy(estimator)._summarize(*part) for part in parts]
    summary = united(summaries, [f"part {i}" for i in range(len(parts))])
    return copy.copy(estimator)._begin(summary), summary


def rounds_of(estimator, parts=PARTS, n_rounds=3, seed=7):
    """The estimator after some rounds."""
    state, summary = begun(estimator, parts)
    n_epochs = state._n_epochs_of(summary)
    for number in range(n_rounds):
        share = Fraction(number, n_rounds), Fraction(number + 1, n_rounds)
        learnt = [
            state._learn(*part, None, summary, Part(*share, seed, place))
            for place, part in enumerate(parts)
        ]
        state = copy.deepcopy(state)._put_together(learnt, share[1] * n_epochs // 1)
    return state


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 20))
def test_parts_cover_every_step_once(n_rounds, n_epochs, n_batches):
    steps = []
    for number in range(n_rounds):
        part = Part(Fraction(number, n_rounds), Fraction(number + 1, n_rounds))
        for epoch, first, last in part.batches(n_epochs, n_batches):
            steps += [epoch * n_batches + step for step in range(first, last)]
    assert steps == list(range(n_epochs * n_batches))


def test_orders_of_rows_are_those_of_place_and_epoch():
    orders = {
        (place, epoch): tuple(Part(0, 1, 3, place).generator(None, epoch).permutation(20))
        for place in range(2)
        for epoch in range(2)
    }
    assert len(set(orders.values())) == 4
    half = Part(Fraction(1, 2), 1, 3, 0).generator(None, 1).permutation(20)
    assert tuple(half) == orders[0, 1]
    own = check_random_state(0)
    assert Part().generator(own, 1) is own


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.data())
def test_moments_add_up(numbers, data):
    y = np.array(numbers)
    weight = np.array(data.draw(st.lists(st.floats(0.1, 3), min_size=len(y), max_size=len(y))))
    cut = data.draw(st.integers(1, len(y) - 1))
    both = Moments.of(y[:cut], weight[:cut]) + Moments.of(y[cut:], weight[cut:])
    assert_allclose(both, Moments.of(y, weight), rtol=1e-9, atol=1e-6)


def test_label_counts_add_up_over_united_classes():
    rows, weight = sp.csr_array(np.eye(3, dtype=np.uint8)[[0, 1, 1, 2]]), np.array([1, 2, 3, 4.0])
    whole = LabelCounts.of(rows, weight)
    first, second = LabelCounts.of(rows[:2, :2], weight[:2]), LabelCounts.of(rows[2:], weight[2:])
    both = first.among(np.array([0, 1]), 3) + second
    for name in ("n_rows", "weight", "plain", "weighted"):
        assert_array_equal(getattr(both, name), getattr(whole, name))
    assert whole.labels_per_row == 1


def network(seed=0):
    made = FeedForward(
        (5, 16), optimizer=Adam(), random_state=check_random_state(seed), embedding_scale=1.0
    )
    for slot in made.embedding.slots:
        slot[...] = 1
    return made


def moved(before, moves):
    """Changes of a model that has moved the embedding by `moves`, and doubled state there."""
    after = copy.deepcopy(before)
    after.embedding.weights += moves
    for slot in after.embedding.slots:
        slot[moves.any(axis=1)] = 2
    after.optimizer.t += 1
    return changes_between(before, after)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
def test_moves_that_agree_count_once_and_others_add_up(shares):
    before, shares = network(), np.array(shares)
    moves = np.zeros((2, *before.embedding.weights.shape), dtype=np.float32)
    moves[:, 0, 3] = 1  # the same of both
    moves[0, 1, 0], moves[1, 1, 1] = 1, 1  # at right angles
    moves[0, 2] = 1  # of one alone
    moves[0, 3, 0], moves[1, 3, 0] = 1, -1  # opposite
    after = copy.deepcopy(before)
    put_together(after, [moved(before, one) for one in moves], shares)
    got = after.embedding.weights - before.embedding.weights
    assert_allclose(got[0], moves[0, 0], atol=1e-6)
    assert_allclose(got[1], moves[0, 1] + moves[1, 1], atol=1e-6)
    assert_allclose(got[2], moves[0, 2], atol=1e-6)
    assert_allclose(got[3:], 0, atol=1e-6)
    state = after.embedding.slots[1][:, 0]
    assert_allclose(state, [2, 2, 1 + shares[0], 2, 1], atol=1e-6)
    assert after.optimizer.t == before.optimizer.t + 1


def test_one_model_alone_is_taken_over():
    before, after = network(), network()
    moves = np.random.default_rng(0).standard_normal(before.embedding.weights.shape)
    put_together(after, [moved(before, moves.astype(np.float32))], np.ones(1))
    assert_allclose(after.embedding.weights, before.embedding.weights + moves, atol=1e-6)


def test_bfloat16_on_the_wire_halves_the_message():
    estimator = SLIDEClassifier(64, max_iter=2, random_state=0)
    state, summary = begun(estimator)
    part = Part(0, 1, 7, 0)
    whole, half = (
        state._learn(*PARTS[0], None, summary, part, dtype) for dtype in ("float32", "bfloat16")
    )
    assert 0.5 <= half.nbytes / whole.nbytes < 0.52
    for one, other in zip(whole.changes.weights, half.changes.weights, strict=True):
        assert_array_equal(one.rows, other.rows)
        assert_allclose(as_float32(other.values), one.values, rtol=2**-8)
    with pytest.raises(ValueError, match="wire_dtype must be 'float32' for MISSIONClassifier"):
        state, summary = begun(MISSIONClassifier(5, random_state=0))
        state._learn(*PARTS[0], None, summary, part, "bfloat16")


ESTIMATORS = [
    SLIDEClassifier(32, random_state=0, max_iter=6),
    SLIDEClassifier(32, random_state=0, max_iter=6, class_weight="balanced", dtype="bfloat16"),
    SLIDEClassifier((64, 64), hidden_sampling="lsh", max_active=0.5, random_state=0, max_iter=6),
    LSHSoftmaxClassifier((32,), random_state=0, max_iter=6, optimizer="cs_adam"),
    KernelSampledSGD((32,), random_state=0, max_iter=20, class_weight="balanced"),
    KernelSampledSGDRegressor((32,), random_state=0, max_iter=20),
    MISSIONClassifier(5, random_state=0, class_weight="balanced"),
    MISSIONRegressor(5, random_state=0),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_rounds_learn_repeat_themselves_and_leave_what_they_began_with(estimator):
    state, summary = begun(estimator)
    before = copy.deepcopy(state)
    part = Part(0, Fraction(1, 2), 7, 1)
    state._learn(*PARTS[1], None, summary, part)
    assert_same(state, before)
    fitted, again = rounds_of(estimator), rounds_of(estimator)
    assert_same(fitted, again)
    assert fitted.n_iter_ == state._n_epochs_of(summary)
    assert len(fitted.loss_curve_) == 3
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert fitted.score(X, Y) > 0.6 * copy.copy(estimator).fit(X, Y).score(X, Y)
    assert not hasattr(fitted, "n_rounds_")


def assert_same(one, other):
    """Both estimators hold the same weights, bit for bit."""
    if hasattr(one, "_network"):
        for mine, theirs in zip(one._network.parameters, other._network.parameters, strict=True):
            assert_array_equal(mine.weights, theirs.weights)
            for my_slot, their_slot in zip(mine.slots, theirs.slots, strict=True):
                assert_array_equal(my_slot, their_slot)
    else:
        assert_array_equal(one._model.weights, other._model.weights)
        assert_array_equal(one._model.ids, other._model.ids)


@pytest.mark.parametrize("mode", ["mission", "active"])
def test_a_merged_sketched_model_is_the_mean_of_the_local_ones(mode):
    """Bit for bit, in their order: the cells in "mission" mode, where they hold all weights."""
    state, summary = begun(MISSIONClassifier(5, mode=mode, width=64, random_state=0))
    learnt = [
        state._learn(*part, None, summary, Part(0, 1, 7, place)) for place, part in enumerate(PARTS)
    ]
    merged = copy.deepcopy(state)._put_together(learnt, 1)
    weights = np.array([len(part[0]) for part in PARTS])
    models = [one.model._model for one in learnt]
    shares = weights / weights.sum()
    ids = merged._model.active_ids
    mean = sum(np.float32(p) * m.weights_of(ids) for p, m in zip(shares, models, strict=True))
    assert_allclose(merged._model.weights_of(ids), mean, rtol=1e-4, atol=1e-6)
    if mode == "mission":
        pairs = list(zip(shares, models, strict=True))
        cells = sum(np.float32(share * model.status[0]) * model.cells for share, model in pairs)
        assert_array_equal(merged._model.cells, cells)
        intercept = sum(np.float32(share) * model.intercept for share, model in pairs)
        assert_array_equal(merged._model.intercept, intercept)
    by_hand = [copy.deepcopy(one.model) for one in learnt]
    assert_same(merged, by_hand[0].merge(by_hand[1:], weights))


def test_tables_of_hidden_layers_go_by_the_weights_put_together():
    estimator = SLIDEClassifier(
        (64, 64), hidden_sampling="lsh", max_active=0.25, random_state=0, max_iter=6
    )
    fitted = rounds_of(estimator)
    hidden = fitted._network.hidden(X[:50])
    for layer in fitted._network.hidden_layers:
        layer.forget()  # they are then made again
    assert_array_equal(fitted._network.hidden(X[:50]), hidden)
    assert 0 < fitted.multiplications_["share"] < 2


@pytest.mark.parametrize(
    "estimator", [ESTIMATORS[0], ESTIMATORS[4], ESTIMATORS[6]], ids=["SLIDE", "SGD", "MISSION"]
)
def test_more_rounds_than_steps_are_nothing_to_some_models(estimator):
    tiny = [(X[:5], Y[:5]), (X[5:100], Y[5:100])]
    model = rounds_of(copy.copy(estimator).set_params(max_iter=2), tiny, n_rounds=40)
    assert model.n_iter_ == 2
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize(
    "estimator", [SLIDEClassifier(8), KernelSampledSGD(), MISSIONClassifier(5)]
)
def test_a_place_whose_classes_have_no_weight_learns_nothing(estimator):
    estimator.set_params(class_weight={0: 0}, random_state=0, max_iter=2)
    state, summary = begun(estimator, [(X[Y == 0], Y[Y == 0]), (X[Y > 0], Y[Y > 0])])
    part = Part(0, 1, 7, 0)
    assert state._learn(X[Y == 0], Y[Y == 0], None, summary, part) is None
    assert state._learn(X[Y > 0], Y[Y > 0], None, summary, part).weight > 0


def test_rows_of_unit_length_stay_so():
    fitted = rounds_of(LSHSoftmaxClassifier((16,), normalize=True, random_state=0, max_iter=4))
    assert_allclose(np.linalg.norm(fitted.coefs_[-1], axis=0), 1, rtol=1e-5)


def test_switched_losses_and_multilabel_targets_go_through_rounds():
    X, Y = make_multilabel_classification(
        600, 30, n_classes=40, sparse=True, return_indicator="sparse", random_state=0
    )
    X, Y = X.tocsr().astype(np.float32), Y.tocsr()
    parts = [(X[:300], Y[:300]), (X[300:], Y[300:])]
    model = rounds_of(
        SLIDEClassifier(32, loss="softmax_logistic", n_active=10, max_iter=4, random_state=0),
        parts, n_rounds=4,
    )  # fmt: skip
    assert model.loss_ == "logistic"
    assert sp.issparse(model.predict(X[:5]))
    ordinary = SLIDEClassifier(32, loss="softmax_logistic", max_iter=4, random_state=0).fit(X, Y)
    assert abs(model.score(X, Y) - ordinary.score(X, Y)) < 0.1


def test_looks_at_classes_are_counted_up_over_places():
    whole, parts = Inclusion(4), [Inclusion(4), Inclusion(4)]
    before = copy.deepcopy(whole)
    for one, chosen in zip(parts, ([0, 1], [1]), strict=True):
        for noted in (whole, one):
            noted.note(np.array(chosen), 0.5, left_out=np.array([3]))
    merged = copy.deepcopy(before)
    for one in parts:
        merged.add(one.since(before))
    assert_allclose(merged.share(np.arange(4)), whole.share(np.arange(4)))
