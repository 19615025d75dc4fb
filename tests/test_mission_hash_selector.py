"""MISSIONHashSelector keeps the contract of a scikit-learn transformer of tokens."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from sklsh import MISSIONClassifier, MISSIONHashSelector

WORDS = ["ja", "größe", "naïve", "東京", "a b", "", "x=1"] + [f"w{i}" for i in range(60)]
RNG = np.random.default_rng(0)
ROWS = [[WORDS[i] for i in RNG.integers(2, len(WORDS), 8)] for _ in range(300)]
Y = RNG.integers(2, size=300)
for row, label in zip(ROWS, Y, strict=True):
    row.append(WORDS[label])  # "ja" or "größe" tells the class


def make(k=2, **settings):
    return MISSIONHashSelector(k, **({"random_state": 0, "max_iter": 3} | settings))


def same_model(a, b):
    """Whether two models are equal bit for bit."""
    assert_array_equal(a.sketch_, b.sketch_)
    assert_array_equal(a.feature_ids_, b.feature_ids_)
    assert_array_equal(a.feature_weights_, b.feature_weights_)
    assert_array_equal(a.get_feature_names_out(), b.get_feature_names_out())


def test_names_are_the_tokens_that_matter():
    assert sorted(make().fit(ROWS, Y).get_feature_names_out()) == ["größe", "ja"]


@pytest.mark.parametrize("mode", ["active", "mission"])
def test_all_names_are_texts_of_tokens(mode):
    names = make(len(WORDS), mode=mode, width=2**12).fit(ROWS, Y).get_feature_names_out()
    assert names.dtype == object
    assert len(set(names)) == len(names) > 50
    assert set(names) <= set(WORDS)


def test_clone_and_parameters():
    model = make(7, input_type="dict", alpha=0.1)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert copied.set_params(alpha=0.2).alpha == 0.2
    parameters = inspect.signature(MISSIONHashSelector.__init__).parameters
    assert {"self", *model.get_params()} == set(parameters)
    fitted = clone(make().fit(ROWS, Y))
    with pytest.raises(NotFittedError):
        fitted.transform(ROWS)


def test_fitting_changes_no_parameter():
    model = make()
    before = model.get_params()
    model.fit(ROWS, Y).partial_fit(ROWS, Y)
    assert model.get_params() == before


def test_pickled_model_is_the_same_and_learns_on():
    model = make().fit(ROWS, Y)
    stored = pickle.loads(pickle.dumps(model))
    same_model(stored, model)
    assert_array_equal(stored.transform(ROWS).toarray(), model.transform(ROWS).toarray())
    same_model(stored.partial_fit(ROWS, Y), model.partial_fit(ROWS, Y))


@pytest.mark.parametrize("input_type", ["string", "pair", "dict"])
def test_input_tags_are_those_of_feature_hasher(input_type):
    ours = get_tags(MISSIONHashSelector(input_type=input_type))
    assert ours.input_tags == get_tags(FeatureHasher(input_type=input_type)).input_tags
    assert ours.target_tags.required
    assert ours.requires_fit


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.transform(ROWS),
        lambda m: m.inverse_transform(np.zeros((1, 2))),
        lambda m: m.get_support(indices=True),
        lambda m: m.get_feature_names_out(),
        lambda m: m.merge(make()),
        lambda m: m.feature_ids_,
        lambda m: m.feature_weights_,
        lambda m: m.ranking_,
        lambda m: m.supports_per_class_,
        lambda m: m.memory_usage_,
    ],
)
def test_unfitted_model_says_so(use):
    with pytest.raises(NotFittedError):
        use(make())


def test_fit_and_partial_fit_return_self():
    model = make()
    assert model.fit(ROWS, Y) is model
    assert model.partial_fit(ROWS, Y) is model


def test_refitting_forgets():
    model = make().fit([["other"], ["tokens"]] * 20, [0, 1] * 20)
    same_model(model.fit(ROWS, Y), make().fit(ROWS, Y))


def test_equal_seeds_make_equal_models_and_others_do_not():
    model = make().fit(ROWS, Y)
    same_model(make().fit(ROWS, Y), model)
    other = make(random_state=1).fit(ROWS, Y)
    assert not np.array_equal(other.feature_ids_, model.feature_ids_)
    assert_array_equal(*(np.sort(m.get_feature_names_out()) for m in (other, model)))


def test_threads_do_not_change_the_model():
    same_model(make(n_jobs=2).fit(ROWS, Y), make().fit(ROWS, Y))


def test_chunks_of_partial_fit_equal_one_pass():
    settings = {"shuffle": False, "learning_rate": "constant", "batch_size": 10}
    settings |= {"learning_rate_init": 0.05, "max_iter": 1}
    model = make(**settings)
    for start in range(0, 300, 50):  # the first chunk has both classes
        model.partial_fit(ROWS[start : start + 50], Y[start : start + 50])
    same_model(model, make(**settings).fit(ROWS, Y))


def test_names_are_found_in_later_chunks_and_kept_from_earlier_ones():
    model = make(3).partial_fit(ROWS, Y).partial_fit([["late"], ["ja"]] * 200, [1, 0] * 200)
    assert sorted(model.get_feature_names_out()) == ["größe", "ja", "late"]


def counted(row):
    counts = {}
    for token in row:
        counts[token] = counts.get(token, 0) + 1
    return counts


FORMS = {
    "lists": ("string", ROWS),
    "tuples": ("string", [tuple(row) for row in ROWS]),
    "arrays of str": ("string", [np.array(row) for row in ROWS]),
    "arrays of bytes": (
        "string",
        [np.char.encode(np.array(row), "utf-8").astype("S12") for row in ROWS],
    ),
    "arrays of objects": ("string", [np.array(row, dtype=object) for row in ROWS]),
    "pairs": ("pair", [[(token, 1) for token in row] for row in ROWS]),
    "dicts": ("dict", [counted(row) for row in ROWS]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_rows_select_the_same(form):
    input_type, rows = FORMS[form]
    model, expected = make(input_type=input_type).fit(rows, Y), make().fit(ROWS, Y)
    assert_array_equal(model.get_feature_names_out(), expected.get_feature_names_out())
    assert_allclose(model.feature_weights_, expected.feature_weights_, rtol=1e-5)
    assert_array_equal(model.transform(rows).toarray(), expected.transform(ROWS).toarray())


def test_rows_and_tokens_may_come_from_generators():
    def generate():
        return (iter(row) for row in ROWS)

    model, expected = make().fit(generate(), Y), make().fit(ROWS, Y)
    same_model(model, expected)
    assert_array_equal(model.transform(generate()).toarray(), model.transform(ROWS).toarray())
    same_model(model.partial_fit(generate(), Y), expected.partial_fit(ROWS, Y))


def test_values_that_are_strings_name_their_field():
    rows = [{"color": color, "size": 1.5} for color in ("red", "green")] * 50
    model = make(input_type="dict").fit(rows, [0, 1] * 50)
    assert sorted(model.get_feature_names_out()) == ["color=green", "color=red"]


def test_transform_counts_tokens():
    model = make(20).fit(ROWS, Y)
    transformed = model.transform(ROWS)
    names = model.get_feature_names_out()
    assert len(names) == 20
    counts = CountVectorizer(analyzer=list, vocabulary=names.tolist()).transform(ROWS)
    assert sp.issparse(transformed) and transformed.dtype == np.float32
    assert transformed.has_canonical_format
    assert_array_equal(transformed.toarray(), counts.toarray())


def test_transform_adds_up_values():
    rows = [[("a", 0.5), ("b", 2), ("a", -1.5)], [("b", -2)]]
    model = make(input_type="pair").fit(rows * 20, [0, 1] * 20)
    columns = dict(zip(model.get_feature_names_out(), model.transform(rows).toarray().T, strict=1))
    assert_array_equal(columns["a"], [-1, 0])
    assert_array_equal(columns["b"], [2, -2])


def test_transform_of_unknown_tokens_and_of_no_tokens_is_zero():
    assert_array_equal(make().fit(ROWS, Y).transform([["unseen"], []]).toarray(), np.zeros((2, 2)))


@pytest.mark.parametrize("form", [sp.csr_array, sp.csr_matrix, sp.coo_array, sp.csr_array.toarray])
def test_inverse_transform_gives_selected_tokens_back(form):
    model = make(20).fit(ROWS, Y)
    kept = set(model.get_feature_names_out())
    expected = [counted(token for token in row if token in kept) for row in ROWS]
    assert model.inverse_transform(form(model.transform(ROWS))) == expected


def test_inverse_transform_refuses_other_columns():
    with pytest.raises(ValueError, match="X must have 2 columns, those selected; got 3"):
        make().fit(ROWS, Y).inverse_transform(np.ones((1, 3)))


def test_support_is_the_hashes_and_there_is_no_mask():
    model = make(5).fit(ROWS, Y)
    assert_array_equal(model.get_support(indices=True), model.feature_ids_)
    assert (np.diff(model.feature_ids_) > 0).all() and (model.feature_ids_ >= 0).all()
    with pytest.raises(ValueError, match=r"mask .* 2\*\*63 bytes"):
        model.get_support()


def test_memory_is_that_of_the_active_set_however_many_tokens_there_are():
    few, many = (
        make(max_iter=1).fit([[f"t{n * i + j}" for j in range(n)] for i in range(300)], Y)
        for n in (10, 200)
    )
    usage = many.memory_usage_
    assert usage["total"] == usage["active_set"] + usage["sketch"] + usage["names"]
    assert {**usage, "names": 0, "total": 0} == {**few.memory_usage_, "names": 0, "total": 0}
    capacity = 512 + 512
    assert 0 < usage["names"] <= capacity * (16 + len("t59999")) + 100


def test_several_classes_have_supports_of_their_own():
    labels = np.repeat(["p", "q", "r"], 40)
    rows = [[label, "all"] for label in labels]
    model = make(3).fit(rows, labels)
    assert sorted(model.get_feature_names_out()) == ["p", "q", "r"]
    assert model.feature_weights_.shape == (3, 3)
    names = dict(zip(model.feature_ids_.tolist(), model.get_feature_names_out(), strict=True))
    best = [names[support[0]] for support in model.supports_per_class_]
    assert best == model.classes_.tolist() == ["p", "q", "r"]


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_regression_on_tokens(loss):
    target = np.array([2.0 * ("ja" in row) - 1 for row in ROWS])
    model = make(loss=loss, max_iter=10).fit(ROWS, target)
    assert not hasattr(model, "classes_")
    assert sorted(model.get_feature_names_out()) == ["größe", "ja"]


def test_sample_weight_zero_is_as_if_the_row_were_not_there():
    weight = np.tile([1.0, 0.0], 150)
    few = make().fit(ROWS[::2], Y[::2])
    same_model(make().fit(ROWS, Y, sample_weight=weight), few)


def test_pipeline_selects_and_classifies():
    model = make_pipeline(make(4), MISSIONClassifier(random_state=0, max_iter=5))
    assert model.fit(ROWS[:200], Y[:200]).score(ROWS[200:], Y[200:]) == 1


def test_callbacks_see_names_of_every_epoch():
    class Recorder:
        names = []

        def setup(self, estimator, context):
            pass

        teardown = on_fit_task_begin = lambda self, *args, **kwargs: None

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.names.append(sorted(fitted_estimator.get_feature_names_out()))

    make().set_callbacks(Recorder()).fit(ROWS, Y)
    assert Recorder.names == [["größe", "ja"]] * 4  # three epochs, and the fit
