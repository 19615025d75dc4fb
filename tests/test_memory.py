"""Tests of memory: alignment, free bytes, and refusals before anything is allocated."""

import os
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklsh import SLIDEClassifier, _memory
from sklsh._memory import (
    aligned_copy,
    aligned_zeros,
    available_bytes,
    padded,
    require_bytes,
)
from sklsh._network import Network, bytes_needed
from sklsh._samplers import BYTES_A_CANDIDATE, step_bytes
from sklsh.optimizers import OPTIMIZERS, make_optimizer

X = np.random.RandomState(0).normal(size=(40, 6)).astype(np.float32)
Y = np.random.RandomState(1).rand(40, 9) < 0.3


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes of memory seem to be free."""
    return lambda n: monkeypatch.setattr(_memory, "available_bytes", lambda: n)


def address(array):
    return array.ctypes.data


@pytest.mark.parametrize(["n", "expected"], [(0, 0), (1, 16), (16, 16), (17, 32), (100, 112)])
def test_padding_fills_whole_cache_lines(n, expected):
    assert padded(n) == expected


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (1000, 16)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float64])
def test_aligned_zeros_start_a_cache_line(shape, dtype):
    arrays = [aligned_zeros(shape, dtype) for _ in range(5)]
    assert all(address(a) % 64 == 0 for a in arrays)
    assert all((a.shape, a.dtype) == (shape, dtype) and (a == 0).all() for a in arrays)


def test_aligned_copy_is_writable_and_its_own():
    original = np.arange(12, dtype=np.float32)[1:].reshape(11, 1)
    original.flags.writeable = False
    copy = aligned_copy(original)
    copy[0] = 5
    assert address(copy) % 64 == 0
    assert_array_equal(original.ravel(), np.arange(1, 12))
    assert_array_equal(copy[1:], original[1:])


@pytest.mark.skipif(
    available_bytes() is None,
    reason="neither /proc/meminfo nor sysconf tells free memory, as on macOS",
)
def test_available_bytes_are_within_the_machine():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < available_bytes() <= total


def test_container_limit_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "_CGROUPS", [(tmp_path, "limit", "usage", "inactive_file")])
    free = available_bytes()
    (tmp_path / "limit").write_text("5000\n")
    (tmp_path / "usage").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("active_file 700\ninactive_file 500\n")
    assert available_bytes() == 5000 - 3000 + 500  # cache can be given up
    (tmp_path / "limit").write_text("max\n")
    assert available_bytes() > free / 2


@pytest.mark.parametrize(["n", "fits"], [(0, True), (1000, True), (1001, False)])
def test_bytes_that_do_not_fit_are_refused(n, fits, free):
    free(1000)
    if fits:
        require_bytes(n, "It")
    else:
        message = "^It would take 1,001 bytes, but 1,000 bytes of memory are free. Do less.$"
        with pytest.raises(MemoryError, match=message):
            require_bytes(n, "It", "Do less.")


def test_unknown_free_memory_refuses_nothing(free):
    free(None)
    require_bytes(10**18, "It")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", [(), (16,), (5, 40, 7)], ids=str)
@pytest.mark.parametrize("beta_1", [0, 0.9])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bytes_needed_are_the_bytes_taken(name, beta_1, sizes, dtype):
    optimizer, random_state = make_optimizer(name, beta_1=beta_1), np.random.RandomState()
    network = Network(50, 90, sizes, optimizer=optimizer, random_state=random_state, dtype=dtype)
    taken = sum(p.weights.nbytes + p.state_bytes for p in network.parameters)
    assert bytes_needed(50, sizes, 90, optimizer, dtype) == taken


N_ROWS_OF_WEIGHTS = 6 + 16 + 1 + 1 + 2100 + 2100  # in test_memory_usage_adds_up


@pytest.mark.parametrize(
    ["settings", "per_weight", "per_row"],
    [
        ({"optimizer": "sgd"}, 0, 0),
        ({"optimizer": "momentum"}, 1, 0),
        ({"optimizer": "adam"}, 2, 0),
        ({"optimizer": "adam", "beta_1": 0}, 1, 0),
        ({"optimizer": "rowwise_adam"}, 1, 1),
        ({"optimizer": "rowwise_adam", "beta_1": 0}, 0, 1),
    ],
    ids=str,
)
def test_memory_usage_adds_up(settings, per_weight, per_row):
    model = SLIDEClassifier((8, 5), **settings, n_bits=6, n_tables=3, max_iter=1)
    model.fit(X[:10], np.eye(10, 2100))
    weights = 4 * (6 * 16 + 16 * 16 + 16 + 16 + 2100 * 16 + 2100)  # widths padded to 16
    tables = 3 * (2100 * (2 + 4) + 4 * (2**6 + 1))  # codes, ids, and where each bucket starts
    tables += 2100 * (64 + 8)  # rows in 4 bits in whole cache lines, scales and biases
    state = per_weight * weights + per_row * 4 * N_ROWS_OF_WEIGHTS
    expected = {"weights": weights, "optimizer": state, "sketches": 0, "tables": tables}
    assert model.memory_usage_ == expected | {"total": sum(expected.values())}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("active_set", ["batch", "sample", "full"])
@pytest.mark.parametrize("negatives", ["lsh", "uniform"])
def test_fit_asks_for_what_the_model_reports(negatives, active_set, dtype, early_stopping, free):
    features, labels = X[:10], np.eye(10, 2100)
    model = SLIDEClassifier(
        (16,), negatives=negatives, active_set=active_set, n_active=50, dtype=dtype,
        early_stopping=early_stopping, max_iter=1,
    ).fit(features, labels)  # fmt: skip
    total = model.memory_usage_["total"]
    if early_stopping:  # the weights of the best epoch
        total += model.memory_usage_["weights"]
    if active_set == "sample":  # the sets of a step
        total += 10 * 50 * BYTES_A_CANDIDATE
    else:
        total += step_bytes(model, 2100, 16, n_batch=10, n_threads=1)
    free(total - 1)
    with pytest.raises(MemoryError, match=f"would take {total:,} bytes"):
        model.fit(features, labels)
    free(total)
    model.fit(features, labels)


@pytest.mark.parametrize("product_dtype", ["float32", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("active_set", ["batch", "full"])
def test_step_bytes_are_the_bytes_taken(active_set, dtype, product_dtype, monkeypatch):
    taken = {}

    def note(scratch, name, n):
        taken[name] = max(n, taken.get(name, 0))
        return aligned_zeros(n, np.int8)

    monkeypatch.setattr(_memory.Scratch, "bytes", note)
    model = SLIDEClassifier(
        (24,), negatives="uniform", active_set=active_set, n_active=50, dtype=dtype,
        product_dtype=product_dtype, max_iter=1, batch_size=70,
    )  # fmt: skip
    Y = np.zeros((100, 2100), dtype=bool)
    Y[:, -1] = active_set == "full"  # the labels of others would come on top
    model.fit(np.ones((100, 6)), Y)
    assert sum(taken.values()) == step_bytes(model, 2100, 24, n_batch=70, n_threads=1)


@pytest.mark.parametrize(
    ["method", "n_bytes"],
    [("decision_function", "1,440"), ("predict_proba", "1,440"), ("predict", "360")],
)
def test_dense_results_that_do_not_fit_are_refused(method, n_bytes, free, monkeypatch):
    model = SLIDEClassifier((8,), max_iter=2, random_state=0).fit(X, Y)
    state, before = list(vars(model)), model.predict_top_k(X, 3)
    free(300)
    monkeypatch.setattr(Network, "logits", None)  # nothing is computed
    with pytest.raises(MemoryError, match=rf"{n_bytes} bytes.*predict_top_k"):
        getattr(model, method)(X)
    assert list(vars(model)) == state
    free(2000)
    assert_array_equal(model.predict_top_k(X, 3), before)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_networks_that_do_not_fit_are_refused(method, free, monkeypatch):
    free(1000)
    monkeypatch.setattr("sklsh._hidden_sampling.Network", None)  # nothing is allocated
    model = SLIDEClassifier((8,))
    message = (
        r"6 features, hidden layers \(8,\) and 9 classes .* would take 4,780 bytes, but 1,000 "
    )
    with pytest.raises(MemoryError, match=message):
        getattr(model, method)(X, Y)
    assert vars(model) == vars(SLIDEClassifier((8,)))


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_probabilities_take_no_second_array_of_their_size(loss, monkeypatch):
    monkeypatch.setattr("sklsh._prediction.BLOCK_BYTES", 1 << 14)
    model = SLIDEClassifier((8,), loss=loss, max_iter=1).fit(X, np.eye(40, 2000))
    rows = np.tile(X, (5, 1))
    tracemalloc.start()
    n_bytes = model.predict_proba(rows).nbytes
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * n_bytes


def test_refused_fit_leaves_the_fitted_model():
    model = SLIDEClassifier((8,), max_iter=2, random_state=0).fit(X, Y)
    before = model.decision_function(X)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(_memory, "available_bytes", lambda: 1000)
        model.fit(X[:, :4], Y[:, :5])
    assert_array_equal(model.decision_function(X), before)
