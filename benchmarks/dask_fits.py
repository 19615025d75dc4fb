"""Fits over Dask's partitions, on a cluster of processes here, beside fits in one place."""

import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from dask import delayed
from distributed import Client, LocalCluster
from sklearn.base import clone
from sparse_support import FAMILIES, make_sparse_support
from xmc import read, scaled

from sklsh import MISSIONClassifier, SLIDEClassifier
from sklsh.distributed import fit
from sklsh.metrics import precision_at_k

NETWORK = SLIDEClassifier(128, max_iter=7)
FITS_OF_NETWORK = (  # workers, models, rounds
    (None, None, None),
    (2, 2, 1),
    (2, 2, "auto"),
    (2, 4, "auto"),
    (2, 4, 28),
)
FITS_OF_MISSION = ((None, None, None), (1, 1, "auto"), (2, 2, "auto"), (2, 2, 3), (2, 8, "auto"))


@contextmanager
def cluster_of(n_workers):
    """Client of so many processes of one thread; None of none."""
    if n_workers is None:
        yield None
        return
    settings = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": None}
    with LocalCluster(n_workers=n_workers, **settings) as cluster, Client(cluster) as client:
        yield client


def stored(X, Y, n_parts, folder):
    """Delayed partitions that workers read from files, of rows in random order."""
    order = np.random.default_rng(0).permutation(X.shape[0])
    parts = []
    for number, rows in enumerate(np.array_split(order, n_parts)):
        path = Path(folder) / f"part-{number}"
        sp.save_npz(f"{path}-X.npz", X[rows], compressed=False)
        if sp.issparse(Y):
            sp.save_npz(f"{path}-Y.npz", Y[rows], compressed=False)
        else:
            np.save(f"{path}-Y.npy", Y[rows])
        parts.append(delayed(loaded)(str(path)))
    return parts


def loaded(path):
    """A partition."""
    labels = Path(f"{path}-Y.npz")
    Y = sp.load_npz(labels) if labels.exists() else np.load(f"{path}-Y.npy")
    return sp.load_npz(f"{path}-X.npz"), Y


def measured(estimator, whole, parts, setting, judge):
    """One fit: what it takes, and how good it is."""
    n_workers, n_models, n_rounds = setting
    with cluster_of(n_workers) as client:
        started, cpu = time.perf_counter(), time.process_time()
        if client is None:
            model = estimator.fit(*whole)
            took = {"local_s": time.process_time() - cpu}
        else:
            model = fit(estimator, parts, client=client, n_models=n_models, n_rounds=n_rounds)
            took = {"local_s": model.local_seconds_, "merge_s": model.merge_seconds_,
                    "rounds": model.n_rounds_}  # fmt: skip
        took["wall_s"] = time.perf_counter() - started
    took["state_MB"] = model.memory_usage_["total"] / 1e6
    took = {name: round(float(figure), 2) for name, figure in took.items()}
    place = {"workers": n_workers, "models": n_models, "asked": n_rounds}
    return place | took | judge(model)


def results_of(estimator, settings, seeds, whole, parts, judge):
    """Results of all settings and seeds, in turns."""
    results = []
    for seed in range(seeds):
        for setting in settings:
            model = clone(estimator).set_params(random_state=seed)
            result = {"method": "/".join(map(str, setting)), "seed": seed}
            result |= measured(model, whole, parts, setting, judge)
            results.append(result)
            print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
    return results


def networks(args):
    """SLIDEClassifier on an extreme multi-label set in four partitions."""
    X, X_test, Y, Y_test = read(args.data)
    X, X_test = scaled(X, X_test)

    def judge(model):
        labels = model.predict_top_k(X_test, 1)[0]
        return {"P@1": round(100 * precision_at_k(Y_test, labels, k=1), 2)}

    parts = stored(X, Y, 4, args.folder)
    yield {
        "data": f"{args.data.name}: {X.shape[0]:,} rows, {X.shape[1]:,} features, "
        f"{Y.shape[1]:,} labels, in 4 partitions",
        "setting": "SLIDEClassifier(128, max_iter=7); workers are processes of one thread",
        "results": results_of(NETWORK, FITS_OF_NETWORK, args.seeds, (X, Y), parts, judge),
    }


def mission(args):
    """MISSIONClassifier on rows of which few features matter, in eight partitions."""
    data = make_sparse_support(FAMILIES["zipf"], n_rows=args.rows, seed=0)

    def judge(model):
        return {
            "recall": round(data.recall(model.feature_ids_), 3),
            "accuracy": round(model.score(data.X_test, data.y_test), 4),
        }

    estimator = MISSIONClassifier(100)
    parts = stored(data.X, data.y, 8, args.folder)
    whole = data.X, data.y
    yield {
        "data": f"{args.rows:,} rows of 50 of a million features, 100 of which matter, in 8 "
        "partitions",
        "setting": "MISSIONClassifier(100); workers are processes of one thread",
        "results": results_of(estimator, FITS_OF_MISSION, args.seeds, whole, parts, judge),
    }
