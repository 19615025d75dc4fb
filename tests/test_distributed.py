"""Fits over partitions that Dask holds."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification
from test_rounds import assert_same, rounds_of

from sklsh import (
    KernelSampledSGD,
    LSHSoftmaxClassifier,
    MISSIONClassifier,
    MISSIONHashSelector,
    MISSIONRegressor,
    MISSIONSelector,
    NeighborBlendClassifier,
    SLIDEClassifier,
)
from sklsh.distributed import fit

pytest.importorskip("distributed")

import dask  # noqa: E402
import dask.array as da  # noqa: E402
import dask.bag as db  # noqa: E402
import distributed  # noqa: E402

from sklsh.distributed import _rounds  # noqa: E402
from sklsh.distributed._tasks import Costs  # noqa: E402

X, Y = make_classification(800, 12, n_informative=8, n_classes=3, random_state=0)
X = X.astype(np.float32)
DELAYED = [dask.delayed((X[i : i + 200], Y[i : i + 200])) for i in range(0, 800, 200)]
EMPTY = dask.delayed((X[:0], Y[:0]))
MISSION = MISSIONClassifier(5, random_state=0, max_iter=3)
SLIDE = SLIDEClassifier(16, random_state=0, max_iter=2)


@pytest.fixture(scope="module")
def client():
    """Of two workers in this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def over(rows, n_columns=None):
    """Dask array of a few blocks."""
    chunks = (250, n_columns or rows.shape[1]) if rows.ndim == 2 else 250
    return da.from_array(rows, chunks=chunks)


@pytest.mark.parametrize("estimator", [MISSION, SLIDE], ids=["MISSION", "SLIDE"])
def test_a_cluster_computes_what_the_rounds_are(client, estimator):
    """The same, bit for bit, as calling the rounds one by one."""
    parts = [part.compute(scheduler="sync") for part in DELAYED]
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    alone = rounds_of(estimator.set_params(random_state=seed), parts, 2, seed)
    estimator.set_params(random_state=0)
    fitted = fit(estimator, DELAYED, n_models=4, n_rounds=2)
    assert fitted is estimator
    assert fitted.random_state == 0
    assert_same(fitted, alone)
    assert fitted.n_rounds_ == 2
    assert fitted.local_seconds_ > 0
    assert fitted.merge_seconds_ > 0
    fitted.fit(X, Y)
    with pytest.raises(AttributeError, match="only after a fit over partitions"):
        _ = fitted.n_rounds_


@pytest.mark.parametrize("kind", ["array", "columns", "sparse", "frame", "lists", "weighted"])
def test_collections_of_the_same_rows_give_the_same_model(client, kind):
    x, y, weight = over(X), over(Y), None
    if kind == "columns":
        x, y = over(X, n_columns=5), da.from_array(Y, chunks=800)
    elif kind == "sparse":
        x = x.map_blocks(sp.csr_array)
    elif kind == "frame":
        frames = pytest.importorskip("dask.dataframe")
        x, y = frames.from_dask_array(x, columns=list("abcdefghijkl")), frames.from_dask_array(y)
    elif kind == "lists":
        x, y = list(x.to_delayed().ravel()), list(y.to_delayed())
    elif kind == "weighted":
        weight = da.ones(800, chunks=250)
    fitted = fit(MISSION, x, y, sample_weight=weight, n_models=2)
    assert_same(fitted, MISSIONClassifier(5, random_state=0, max_iter=3).fit(over(X), over(Y)))
    assert (kind == "frame") == hasattr(fitted, "feature_names_in_")


def test_bags_of_token_rows(client):
    rows = [["red", "round"], ["green", "round"], ["red", "long"], ["green", "long", "thin"]] * 50
    colors = ["r", "g", "r", "g"] * 50
    selector = MISSIONHashSelector(2, random_state=0)
    fit(selector, db.from_sequence(rows, npartitions=4), db.from_sequence(colors, npartitions=4))
    assert sorted(selector.get_feature_names_out()) == ["green", "red"]


def test_two_models_learn_what_one_does(client):
    generator = np.random.default_rng(0)
    n, n_features, true = 6000, 3000, 30
    rows = sp.random_array((n, n_features), density=0.01, rng=generator, format="csr")
    rows.data[:] = 1
    weights = np.zeros(n_features)
    at = generator.permutation(n_features)[:true]
    weights[at] = generator.choice([-3, 3], true)
    rows = sp.hstack([rows[:, at], rows], format="csr", dtype=np.float32)  # no row without any
    targets = (rows[:, true:] @ weights + generator.normal(0, 0.1, n) > 0).astype(int)
    rows = rows[:, true:]
    train, test = slice(0, 5000), slice(5000, n)
    parts = [
        dask.delayed((rows[i : i + 1250], targets[i : i + 1250])) for i in range(0, 5000, 1250)
    ]
    settings = {"n_features_to_select": true, "random_state": 0}
    together = fit(MISSIONClassifier(**settings), parts)
    alone = MISSIONClassifier(**settings).fit(rows[train], targets[train])
    found = [np.isin(at, model.feature_ids_).mean() for model in (together, alone)]
    assert found[0] >= found[1] - 0.02
    accuracy = [model.score(rows[test], targets[test]) for model in (together, alone)]
    assert accuracy[0] >= accuracy[1] - 0.005


def test_classes_and_empty_partitions(client):
    """A class in one partition only is one of all; partitions without rows are passed over."""
    y = np.sort(Y)
    parts = [dask.delayed((X[i : i + 400], y[i : i + 400])) for i in range(0, 800, 400)]
    model = fit(SLIDE, [EMPTY, *parts, EMPTY], n_models=4)
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_same(
        model,
        fit(SLIDEClassifier(16, random_state=0, max_iter=2), [EMPTY, *parts, EMPTY], n_models=4),
    )
    model = fit(SLIDE, parts, classes=[0, 1, 2, 7])
    assert_array_equal(model.classes_, [0, 1, 2, 7])


BAD = [
    (MISSION, {"X": DELAYED, "classes": [0, 1]}, "partitions? .*not in classes"),
    (MISSION, {"X": [*DELAYED[:3], dask.delayed((X[:, :5], Y))], "n_models": 4},
     "as many features; partition 0 has 12, partition 3 5"),
    (SLIDE, {"X": [*DELAYED[:3], dask.delayed((sp.csr_array(X), Y))], "n_models": 4},
     "sparse, or none; partition 0 is dense, partition 3 sparse"),
    (MISSION, {"X": [*DELAYED[:3], dask.delayed((X, Y.astype(str)))], "n_models": 4},
     "labels of one type; partition 0 has int64, partition 3"),
    (SLIDE, {"X": [*DELAYED[:3], dask.delayed((X, np.eye(3)[Y]))], "n_models": 4},
     "indicator matrices, or none; partition 3 is one, partition 0 is not"),
    (MISSION, {"X": [*DELAYED[:3], dask.delayed((X * np.nan, Y))], "n_models": 4},
     "partition 3: .*NaN"),
    (MISSION, {"X": [DELAYED[0], dask.delayed((X, Y.astype(str)))], "n_models": 1},
     "one kind; labels in y: numbers or objects in partition 0, text in partition 1"),
    (MISSION, {"X": [DELAYED[0], dask.delayed((X[:, :5], Y))], "n_models": 1},
     r"columns of X: \(12,\) in partition 0, \(5,\) in partition 1"),
    (MISSION, {"X": [dask.delayed((X, Y[:5]))]}, "y of partition 0 must have 800 rows"),
    (MISSION, {"X": [dask.delayed(X)]}, "partition 0 must be a pair"),
    (MISSION, {"X": [EMPTY, EMPTY]}, "all partitions are empty"),
    (MISSION, {"X": []}, "at least one partition"),
    (MISSION, {"X": X}, "X must then be a list of delayed pairs"),
    (MISSION, {"X": X, "y": Y}, "X must be a dask array"),
    (MISSION, {"X": DELAYED, "y": DELAYED[:2]}, "y must have as many partitions as X, 4; got 2"),
    (MISSION, {"X": over(X), "y": over(Y[:700])}, "as many rows as X, 800; got 700"),
    (MISSION, {"X": DELAYED, "n_rounds": 0}, "n_rounds must be an integer of at least 1"),
    (MISSION, {"X": DELAYED, "n_models": "all"}, "n_models must be an integer"),
    (MISSION, {"X": DELAYED, "wire_dtype": "int8"}, "wire_dtype must be one of"),
    (MISSION, {"X": DELAYED, "wire_dtype": "bfloat16"}, "wire_dtype must be 'float32' for MISSION"),
    (MISSIONRegressor(), {"X": DELAYED, "classes": [0, 1]}, "classes must be None"),
    (SLIDEClassifier(early_stopping=True), {"X": DELAYED}, "early_stopping must be False"),
    (KernelSampledSGD((), learning_rate="vsgd"), {"X": DELAYED}, "must not be 'vsgd'"),
    (SLIDEClassifier(learning_rate_init=1e30), {"X": DELAYED}, "partition.*diverged"),
    (SLIDEClassifier(batch_size=0), {"X": DELAYED}, "'batch_size' parameter"),
    (NeighborBlendClassifier(SLIDE), {"X": DELAYED}, "must be one that learns in rounds"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize(("estimator", "arguments", "message"), BAD)
def test_bad_input_is_named_and_leaves_the_estimator(client, estimator, arguments, message):
    before = dict(vars(estimator))
    with pytest.raises((TypeError, ValueError), match=message):
        fit(estimator, **arguments)
    assert vars(estimator) == before


def test_without_a_client_or_dask_the_error_says_what_is_missing(monkeypatch):
    def nobody():
        raise ValueError("No clients found")

    monkeypatch.setattr(distributed, "default_client", nobody)
    with pytest.raises(ValueError, match="create a dask.distributed.Client"):
        fit(MISSION, DELAYED)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'sklsh\[dask\]'"):
        fit(MISSION, DELAYED)


def test_automatic_rounds_are_worth_their_time():
    costs = Costs(n_epochs=5, least_rounds=0, multiply_adds=1e12, n_bytes=10**8)
    assert _rounds.automatic_rounds(costs, 2) == 15
    assert _rounds.automatic_rounds(costs, 1) == 1
    assert _rounds.automatic_rounds(costs._replace(multiply_adds=1e10), 2) == 1
    assert _rounds.automatic_rounds(costs._replace(multiply_adds=1e10, least_rounds=1), 2) == 5
    assert _rounds.automatic_rounds(costs._replace(multiply_adds=1e14), 2) == 20


def test_other_estimators_select_and_fit_through_their_own_fit(client):
    selector = MISSIONSelector(3, random_state=0).fit(over(X), over(Y))
    assert selector.transform(X).shape == (800, 3)
    weight = over(np.where(Y < 2, 1.0, 0.0))
    model = LSHSoftmaxClassifier(16, max_iter=3, random_state=0).fit(over(X), over(Y), weight)
    assert set(model.predict(X)) <= {0, 1}


LONG = {"n_models": 4, "n_rounds": 80}


def long_fit():
    """A fit that takes some seconds."""
    return fit(SLIDEClassifier(16, random_state=0, max_iter=80), DELAYED, **LONG)


def kill_soon(pid, seconds=1.0):
    """End a process by its id, amid the rounds; tells by an event that it has been done."""
    done = threading.Event()

    def kill():
        os.kill(pid, signal.SIGKILL)
        done.set()

    threading.Timer(seconds, kill).start()
    return done


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_worker_changes_nothing():
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster) as client:
        whole = long_fit()
        pid, *_ = client.run(os.getpid).values()
        killed = kill_soon(pid)
        broken = long_fit()
        assert killed.is_set()
    assert_same(whole, broken)
    assert_array_equal(whole.loss_curve_, broken.loss_curve_)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_scheduler_is_an_error_and_nothing_is_half_fitted(tmp_path):
    command = [sys.executable, "-m", "distributed.cli.dask_{}", "--scheduler-file", tmp_path / "at"]
    processes = [
        subprocess.Popen([str(word).format(role) for word in (*command, *more)])
        for role, more in [
            ("scheduler", ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0"]),
            ("worker", ["--nthreads", "2", "--no-nanny", "--no-dashboard"]),
        ]
    ]
    try:
        with distributed.Client(scheduler_file=str(tmp_path / "at"), timeout=30) as client:
            client.wait_for_workers(1, timeout=30)
            estimator = SLIDEClassifier(16, random_state=0, max_iter=400)
            before = dict(vars(estimator))
            killed = kill_soon(processes[0].pid)
            with pytest.raises(ConnectionError, match="scheduler at tcp.* was lost"):
                fit(estimator, DELAYED, n_models=4, n_rounds=400)
            assert killed.is_set()
            assert vars(estimator) == before
    finally:
        for process in processes:
            process.kill()
            process.wait()
