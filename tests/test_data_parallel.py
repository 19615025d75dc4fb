import pickle
import threading
from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
from in_process_comm import InProcessComm, on_each
from models import wide_problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_multilabel_classification
from together import SCHEMES, arrays_of, fit_wide
from under_mpi import assert_two_processes_agree, needs_mpi

from sklsh import LSHSoftmaxClassifier, MISSIONClassifier, SLIDEClassifier
from sklsh._layer_tables import LayerTables
from sklsh.distributed import SketchCompressor, fit
from sklsh.distributed._processes import Processes
from sklsh.metrics import precision_at_k

X, Y = make_multilabel_classification(96, n_features=12, n_classes=9, random_state=0)
X = (X / 20).astype(np.float32)
LABEL = Y.argmax(axis=1)


def steps(cls=SLIDEClassifier, sizes=(16, 8), **settings):
    """A model whose steps do not depend on chance."""
    exact = {"shuffle": False, "input_dropout": 0, "hidden_dropout": 0, "optimizer": "sgd"}
    exact |= {"learning_rate_init": 0.5, "batch_size": 24, "max_iter": 3, "random_state": 3}
    return cls(sizes, **(exact | settings))


def fit_on_each(n, make, data, scheme="auto", **settings):
    """Models of n processes, each with rows of its own: data(rank)."""

    def run(comm):
        compressor = SketchCompressor(scheme, **settings)
        return fit(make(), *data(comm.Get_rank()), comm=comm, compressor=compressor)

    return without_errors(on_each(n, run))


def without_errors(results):
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def assert_same(models):
    for other in models[1:]:
        for ours, theirs in zip(arrays_of(models[0]), arrays_of(other), strict=True):
            assert_array_equal(ours, theirs)


@pytest.mark.parametrize("scheme", ["dense", "coo"])
@pytest.mark.parametrize(
    ["make", "data"],
    [
        (steps, (sp.csr_array(X), Y)),
        (lambda: steps(LSHSoftmaxClassifier, ()), (X, LABEL)),
        (lambda: steps(class_weight="balanced", optimizer="momentum"), (X, LABEL)),
    ],
    ids=["multilabel", "linear", "balanced"],
)
def test_steps_are_those_of_one_process_with_the_batches_of_all(make, data, scheme):
    place = np.arange(96) % 3 // 2  # two rows of each three are in one process
    models = fit_on_each(2, make, lambda rank: tuple(a[place == rank] for a in data), scheme)
    alone = make().fit(*data)
    for one in models:
        for ours, theirs in zip(arrays_of(one), arrays_of(alone), strict=True):
            assert_allclose(ours, theirs, atol=2e-5)
        assert_allclose(one.loss_curve_, alone.loss_curve_, rtol=1e-5)
        level = alone._network.output.mean_log_partition
        assert_allclose(one._network.output.mean_log_partition, level, rtol=1e-4)
        assert (one.t_, one.n_iter_) == (alone.t_, alone.n_iter_) == (12, 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_processes_have_one_model_bit_for_bit(scheme):
    results = without_errors(on_each(3, lambda comm: fit_wide(comm, scheme)))
    models, compressors = zip(*results, strict=True)
    assert_same(models)
    assert len({pickle.dumps(model) for model in models}) == 1
    assert all(compressor.bytes_sent_ > 0 for compressor in compressors)
    model = models[0]
    assert model.loss_ == "logistic" and len(model.loss_curve_) == 2
    assert model._progress.weight_sum == 2 * 160
    assert model._negatives.inclusions[0]._n_looks == 3 * model.t_


def test_hash_tables_know_rows_that_others_have_moved(monkeypatch):
    moved, note_step = defaultdict(list), LayerTables.note_step

    def noting(tables, ids):
        moved[threading.get_ident()].append(ids)
        note_step(tables, ids)

    monkeypatch.setattr(LayerTables, "note_step", noting)
    without_errors(on_each(2, lambda comm: fit_wide(comm, "coo")))
    first, second = moved.values()
    assert len(first) > 10 and len(first[1]) > 100  # n_active is that of a process
    for ours, theirs in zip(first, second, strict=True):
        assert_array_equal(ours, theirs)


def test_the_model_is_an_ordinary_one():
    (model, compressor), _ = without_errors(on_each(2, lambda comm: fit_wide(comm, "coo")))
    assert b"sklsh.distributed" not in pickle.dumps(model)
    assert model.product_dtype == "auto" and not hasattr(model, "n_rounds_")
    X, Y = wide_problem(160)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_top_k(X, 3)[0],
                       model.predict_top_k(X, 3)[0])  # fmt: skip
    before = model.t_
    assert model.partial_fit(X, Y).t_ > before
    bytes_sent = compressor.bytes_sent_
    one = on_each(1, lambda comm: fit(model, X, Y, comm=comm, compressor=compressor))[0]
    assert one is model and compressor.bytes_sent_ < bytes_sent  # those of another fit


def test_compressed_steps_learn_as_well():
    X, Y = wide_problem(900, n_classes=40, n_features=80)
    seen = slice(600)

    def make():
        return SLIDEClassifier((32,), batch_size=24, max_iter=5, random_state=0)

    def score(model):
        return precision_at_k(Y[600:], model.predict_top_k(X[600:], 1)[0])

    model, _ = fit_on_each(2, make, lambda rank: (X[seen][rank::2], Y[seen][rank::2]), k=0.1)
    assert score(model) > score(make().fit(X[seen], Y[seen])) - 0.05


@pytest.mark.parametrize("scheme", ["coo", "auto"])
def test_processes_may_have_unlike_rows_and_classes(scheme):
    def data(rank):
        few = LABEL > 5
        return (X[few], LABEL[few]) if rank else (X[~few], LABEL[~few])

    models = fit_on_each(2, lambda: steps(shuffle=True, max_iter=20), data, scheme, k=0.5)
    assert_same(models)
    alone = steps(shuffle=True, max_iter=20).fit(X, LABEL)
    for model in models:
        assert_array_equal(model.classes_, alone.classes_)
        assert model.t_ == alone.t_
        assert_allclose(model.loss_curve_[-1], alone.loss_curve_[-1], rtol=0.2)


@pytest.mark.parametrize(
    ["calls", "message"],
    [
        ([{}, {"X": X * np.nan}], "process 1: Input X contains NaN"),
        ([{}, {"X": X[:0], "y": LABEL[:0]}], "process 1: Found array with 0 sample"),
        ([{"X": X[:, :5]}, {}], "process 0 has 5, process 1 12"),
        ([{}, {"sample_weight": np.full(96, 1e38)}], "process 1: Training diverged: the grad"),
        ([{}, {"estimator": steps(n_active=30)}], "n_active must be the same .* 30 on process 1"),
    ],
)
def test_an_error_of_one_process_is_one_of_all(calls, message):
    def run(comm):
        call = {"estimator": steps(), "X": X, "y": LABEL} | calls[comm.Get_rank()]
        return fit(comm=comm, **call)

    errors = on_each(2, run)
    for error in errors:
        with pytest.raises(ValueError, match=message):
            raise error


def test_one_that_fails_alone_is_not_waited_for():
    def run(comm):
        processes = Processes(comm)

        def work():
            for step in range(5):
                if comm.Get_rank() == 1 and step == 3:
                    raise OSError("disk")
                processes.go_on()

        processes.do(work)

    for error in on_each(3, run):
        with pytest.raises(RuntimeError, match="^process 1: OSError: disk$"):
            raise error


@pytest.mark.parametrize("parameters", [{"k": 0.2}, {"scheme": "s2", "width": 3}])
def test_compressors_that_differ_or_are_impossible_are_named_by_all(parameters):
    def run(comm):
        compressor = SketchCompressor(**parameters) if comm.Get_rank() else SketchCompressor()
        return fit(steps(), X, Y, comm=comm, compressor=compressor)

    message = "^compressor must be the same" if "k" in parameters else "^process 1: width must be"
    for error in on_each(2, run):
        with pytest.raises(ValueError, match=message):
            raise error


def test_what_all_raise_amid_an_exchange_is_raised_as_it_is():
    class Unlike(SketchCompressor):
        def _terms(self, gradient, name):
            return f"{super()._terms(gradient, name)} on {self.rank}"

    def run(comm):
        compressor = Unlike()
        compressor.rank = comm.Get_rank()
        return fit(steps(), X, Y, comm=comm, compressor=compressor)

    for error in on_each(2, run):
        with pytest.raises(ValueError, match="^n_rows, width, name and parameters must be the"):
            raise error


def test_different_models_are_noticed():
    class Unequal(InProcessComm):
        def Allreduce(self, sendbuf, recvbuf, op):
            super().Allreduce(sendbuf, recvbuf, op)
            recvbuf *= 1 + self.Get_rank()

    def run(comm):
        return fit(steps(), X, Y, comm=Unequal(*vars(comm).values()))

    for error in on_each(2, run):
        with pytest.raises(RuntimeError, match="come to different models"):
            raise error


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        ({"estimator": MISSIONClassifier()}, "SLIDEClassifier or LSHSoftmaxClassifier .* MISSION"),
        ({"estimator": steps(product_dtype="int8")}, "product_dtype .* 8-bit"),
        ({"estimator": steps(hidden_sampling="lsh")}, "hidden_sampling must be None"),
        ({"estimator": steps(early_stopping=True)}, "early_stopping must be False"),
        ({"estimator": steps(warm_start=True)}, "warm_start must be False"),
        ({"estimator": steps(LSHSoftmaxClassifier, normalize=True)}, "normalize must be False"),
        ({"compressor": "coo"}, "compressor must be a SketchCompressor or None; got 'coo'"),
        ({"n_rounds": 2}, "n_rounds must be 'auto' with comm"),
        ({"client": "here"}, "client must be None with comm"),
        ({"comm": None, "compressor": SketchCompressor()}, "compressor must be None without comm"),
    ],
)
def test_what_processes_cannot_do_is_named(arguments, message):
    def run(comm):
        return fit(**{"estimator": steps(), "X": X, "y": LABEL, "comm": comm} | arguments)

    with pytest.raises((TypeError, ValueError), match=message):
        raise on_each(1, run)[0]


@needs_mpi
def test_processes_under_mpi_have_one_model():
    assert_two_processes_agree("together.py")
