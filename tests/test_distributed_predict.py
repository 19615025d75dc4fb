import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklsh import MISSIONClassifier, MISSIONHashSelector, MISSIONSelector, SLIDEClassifier
from sklsh.distributed import predict

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

rng = np.random.default_rng(0)
X = (rng.normal(size=(60, 8)) * (rng.random((60, 8)) < 0.6)).astype(np.float32)
Y = sp.csr_array((X[:, :5] > 0.5).astype(np.uint8))
y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
ROWS = [sp.csr_array(X[:25]), sp.csr_array(X[25:])]


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def multilabel():
    return SLIDEClassifier(4, max_iter=2, random_state=0).fit(X, Y)


def as_dask(kind):
    """The rows as a collection."""
    if kind == "dense":
        return da.from_array(X, chunks=(25, 3))
    if kind == "sparse":
        meta = sp.csr_array((0, 0), dtype=np.float32)
        return da.from_array(X, chunks=(25, -1)).map_blocks(sp.csr_array, meta=meta)
    return [dask.delayed(rows) for rows in ROWS]


def same(result, wanted):
    """Whether two results are of one kind, type and content."""
    if sp.issparse(wanted):
        assert type(result) is type(wanted)
        result, wanted = result.toarray(), wanted.toarray()
    np.testing.assert_array_equal(result, wanted, strict=True)


METHODS = ["predict", "predict_proba", "decision_function", "predict_log_proba"]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("method", METHODS)
def test_arrays_predict_as_the_estimator_does(multilabel, kind, method):
    lazy = predict(multilabel, as_dask(kind), method)
    wanted = getattr(multilabel, method)(X if kind == "dense" else sp.csr_array(X))
    assert (lazy.shape, lazy.dtype, lazy.chunks[0]) == (wanted.shape, wanted.dtype, (25, 25, 10))
    assert type(lazy._meta) is type(wanted)
    same(lazy.compute(), wanted)
    same(lazy[30:40].compute(), wanted[30:40])


def test_one_label_a_row_has_one_axis():
    model = MISSIONClassifier(random_state=0).fit(X, y)
    lazy = predict(model, as_dask("dense"))
    assert (lazy.shape, lazy.dtype) == ((60,), model.predict(X).dtype)
    same(lazy.compute(), model.predict(X))
    same(predict(model, as_dask("sparse"), "decision_function").compute(), model._scores(X)[:, 0])


def test_top_k_is_a_pair(multilabel):
    lazy = predict(multilabel, as_dask("sparse"), "predict_top_k", k=3)
    assert [part.shape for part in lazy] == [(60, 3), (60, 3)]
    for part, wanted in zip(dask.compute(*lazy), multilabel.predict_top_k(X, 3), strict=True):
        same(part, wanted)


def test_delayed_parts_give_delayed_results(multilabel):
    parts = dask.compute(*predict(multilabel, as_dask("delayed"), "predict_top_k", k=2))
    labels = np.concatenate([labels for labels, _ in parts])
    same(labels, multilabel.predict_top_k(X, 2)[0])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_selected_columns_are_as_sparse_as_the_rows(kind):
    selector = MISSIONSelector(3, random_state=0).fit(X, y)
    lazy = predict(selector, as_dask(kind), "transform")
    wanted = selector.transform(X if kind == "dense" else sp.csr_array(X))
    assert lazy.shape == (60, 3) and type(lazy._meta) is type(wanted)
    same(lazy.compute(), wanted)
    same(
        predict(selector.set_output(transform="pandas"), as_dask("dense"), "transform").compute(),
        np.asarray(selector.transform(X)),
    )


def test_data_frames_and_empty_partitions(multilabel):
    pandas, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(X, columns=[f"x{i}" for i in range(8)])
    model = SLIDEClassifier(4, max_iter=1, random_state=0).fit(frame, y)
    lazy = predict(model, dd.from_pandas(frame, npartitions=3), "predict_proba")
    same(lazy.compute(), model.predict_proba(frame))
    few = dd.from_pandas(frame, npartitions=3).map_partitions(lambda part: part[part.index < 20])
    same(predict(model, few).compute(), model.predict(frame[:20]))  # two partitions are empty
    with pytest.raises(ValueError, match="feature names"):
        predict(model, few.rename(columns={"x0": "other"}))


def test_bags_of_tokens_and_of_texts():
    db = pytest.importorskip("dask.bag")
    texts = ["red round", "green round", "red long", "green long"] * 10
    tokens = [text.split() for text in texts]
    selector = MISSIONHashSelector(2, random_state=0).fit(tokens, ["red" in row for row in texts])
    rows = db.from_sequence(tokens, npartitions=3)
    selected = predict(selector, rows, "transform")
    assert selected.shape[1] == 2
    same(selected.compute(), selector.transform(tokens))
    pipeline = make_pipeline(TfidfVectorizer(), MISSIONClassifier(random_state=0))
    pipeline.fit(texts, [text[0] for text in texts])
    lazy = predict(pipeline, db.from_sequence(texts, npartitions=3))
    same(lazy.compute(), pipeline.predict(texts))
    with pytest.raises(TypeError, match="MISSIONClassifier does not take"):
        predict(pipeline[-1], rows)


@pytest.mark.parametrize("settings", [{}, {"prediction": "lsh", "hash_family": "dwta"}])
def test_a_model_in_a_file_is_mapped_read_only(tmp_path, settings, monkeypatch):
    model = SLIDEClassifier(4, max_iter=1, random_state=0, **settings).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    loads = []
    load = joblib.load

    def counted(path, **options):
        loads.append(load(path, **options))
        return loads[-1]

    monkeypatch.setattr(joblib, "load", counted)
    lazy = predict(tmp_path / "model", as_dask("sparse"), "predict_top_k")
    for part, wanted in zip(dask.compute(*lazy), model.predict_top_k(X), strict=True):
        same(part, wanted)
    [mapped] = loads
    assert not mapped._network.parameters[0].weights.flags.writeable


class CountsPickles(MISSIONClassifier):
    """Counts how often its objects are written to be sent."""

    pickles = 0

    def __getstate__(self):
        CountsPickles.pickles += 1
        return super().__getstate__()


def test_the_model_does_not_travel_with_every_task():
    distributed = pytest.importorskip("distributed")
    model = CountsPickles(random_state=0).fit(X, y)
    cluster = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
    with distributed.Client(n_workers=1, threads_per_worker=1, **cluster):
        labels = predict(model, da.from_array(X, chunks=(5, -1))).compute(scheduler="distributed")
    same(labels, model.predict(X))
    assert 1 <= CountsPickles.pickles <= 4  # of twelve tasks


@pytest.mark.parametrize(
    "estimator, rows, options, error, message",
    [
        (SLIDEClassifier(), "dense", {}, NotFittedError, "not fitted"),
        ("fitted", X, {}, TypeError, "X must be a dask array.*got ndarray"),
        ("fitted", [X], {}, TypeError, "its list holds a ndarray"),
        ("fitted", [], {}, ValueError, "empty list"),
        ("fitted", da.zeros((9, 7)), {}, ValueError, "7 features"),
        ("fitted", da.zeros(9), {}, ValueError, "two dimensions"),
        ("fitted", "dense", {"method": "score"}, ValueError, "method must be one of"),
        ("fitted", "dense", {"method": "transform"}, AttributeError, "transform"),
        ("fitted", "dense", {"k": 3}, ValueError, "k is of predict_top_k"),
        ("fitted", "dense", {"method": "predict_top_k", "k": 9}, ValueError, "k must be"),
        ("no such file", "dense", {}, FileNotFoundError, "no such file"),
    ],
)
def test_errors_come_before_anything_is_computed(
    multilabel, estimator, rows, options, error, message
):
    estimator = multilabel if estimator == "fitted" else estimator
    rows = as_dask(rows) if isinstance(rows, str) else rows
    with pytest.raises(error, match=message):
        predict(estimator, rows, **options)
