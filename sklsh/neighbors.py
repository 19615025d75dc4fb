"""NeighborBlendClassifier: a classifier's scores and the votes of the nearest rows."""

import math
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from sklsh._blended import BlendedPredictions
from sklsh._neighbors import finder_for, require_neighbors
from sklsh._sklearn import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    VersionStamp,
    at_least,
    check_method_params,
    check_sample_weight,
    checked_csr,
    effective_n_threads,
    fit_context,
    routing_enabled,
    unchanged_on_error,
    validate_data,
)
from sklsh._targets import TargetFormat
from sklsh._votes import (
    DEPTHS,
    WEIGHTS,
    Electorate,
    choose_weight,
    precision_of_weights,
    voting_labels,
)

__all__ = ["NeighborBlendClassifier"]

HELD_OUT_SHARE, MOST_HELD_OUT = 0.2, 5000  # of the rows, at validation_fraction="auto"
REFIT_ABOVE = 0.05  # held-out share of the rows above which refit="auto" fits again


class NeighborBlendClassifier(
    BlendedPredictions, VersionStamp, CallbackSupportMixin,
    MetaEstimatorMixin, ClassifierMixin, BaseEstimator,
):  # fmt: skip
    """Classifier whose scores are raised by the votes of the nearest training rows.

    The training rows of largest cosine with a row vote with their labels, each by
    cosine**2 / (1.02 - cosine), so that rows that are nearly the same count most; all
    votes together sum to 1. Labels are ranked by score + weight * vote. A network
    generalises from all rows, its neighbours remember single ones: on text with many rare
    labels both together are better than either.

    Parameters
    ----------
    estimator : estimator object
        Classifier that has `predict_top_k`, such as :class:`sklsh.SLIDEClassifier`. A
        pipeline has none: put the blend into it as the last step.

    n_neighbors : int, default=20
        Training rows that vote; all, if there are fewer. Those whose cosine is not
        positive do not vote.

    weight : float or "auto", default="auto"
        What the votes count beside the scores, 0 to 1e30. "auto" fits the estimator on a
        part of the rows and takes the best of 0 to 32 on the others: by the mean of
        precision at 1, 3 and 5, or by accuracy where each row has one label. A gain over
        0 of less than 1.5 standard errors counts for nothing, and at weight 0 nothing of
        the training data is kept.

    n_candidates : int, default=50
        Labels of largest score that are looked at beside those of the neighbours. A label
        that only neighbours have gets the least score of this list.

    algorithm : {"auto", "exact", "lsh"}, default="auto"
        How neighbours are found. "exact": for sparse X by an inverted index, for dense X by
        products with all rows. "lsh": by :class:`sklsh.lsh.LSHIndex`, which finds a part
        of them and keeps rows dense, whatever X is. "auto" is exact, but for dense X of
        2**26 numbers and more.

    validation_fraction : float or "auto", default="auto"
        Share of the rows held out, at random, to choose the weight. "auto" is a fifth,
        but no more than 5,000 rows.

    refit : bool or "auto", default="auto"
        Whether the estimator, once the weight is chosen, is fitted again on all rows; else
        the one that has chosen it stays, and only votes come from all rows. "auto" fits
        again where more than a twentieth of the rows was held out.

    random_state : int, RandomState instance or None, default=None
        Draws the rows held out, and hash functions.

    n_jobs : int or None, default=None
        OpenMP threads that look for neighbours and count votes; None means 1, -1 all.
        Results do not depend on it. The estimator has its own.

    Attributes
    ----------
    estimator_ : estimator object
        The fitted classifier.

    weight_ : float
        What the votes count.

    weight_scores_ : dict of float to float, or None
        Mean held-out precision at each of the weights tried; None where `weight` is given.

    classes_ : ndarray of shape (n_classes,)
        Labels; column numbers if multilabel.

    memory_usage_ : dict of str to int
        Bytes of "neighbors", "labels", "estimator" where it tells, and their "total".

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had any.

    See Also
    --------
    SLIDEClassifier : The network that this was made for.
    sklearn.neighbors.KNeighborsClassifier : Votes alone.

    Notes
    -----
    Blended scores are no logits and no probabilities, and known for the candidates only: so
    there is no `decision_function` and no `predict_proba`.

    Rows held out at random are like the rows that are left. Where rows come in groups, or
    nearly twice, and new rows will be of other groups, neighbours look better than they
    are and the weight comes out too large: choose it then by a grid search over groups.

    The model keeps the training rows as its index, once, and their labels: 8 bytes for each
    value and each feature of a sparse X, 4 for each value of a dense one, 4 for each label and
    about 70 at most for each row. Rows of no
    weight are left out. A training row is its own nearest neighbour, which flatters scores
    on training data.

    References
    ----------
    Y. Yang, "Expert network: effective and efficient learning from human decisions in text
    categorization and retrieval", SIGIR 1994. doi:10.1007/978-1-4471-2099-5_2

    S. A. Dudani, "The distance-weighted k-nearest-neighbor rule", IEEE Transactions on
    Systems, Man, and Cybernetics SMC-6(4), 1976. doi:10.1109/TSMC.1976.5408784

    U. Khandelwal, O. Levy, D. Jurafsky, L. Zettlemoyer and M. Lewis, "Generalization through
    memorization: nearest neighbor language models", ICLR 2020. arXiv:1911.00172

    J. Zobel and A. Moffat, "Inverted files for text search engines", ACM Computing Surveys
    38(2), 2006. doi:10.1145/1132956.1132959

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklsh import NeighborBlendClassifier, SLIDEClassifier
    >>> X, Y = make_multilabel_classification(1000, n_classes=20, random_state=0)
    >>> blend = NeighborBlendClassifier(SLIDEClassifier(random_state=0), random_state=0)
    >>> labels, scores = blend.fit(X, Y).predict_top_k(X[:2], k=3)
    >>> labels.shape
    (2, 3)
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict", "predict_top_k"])],
        "n_neighbors": [at_least(1)],
        "weight": [StrOptions({"auto"}), Interval(Real, 0, 1e30, closed="both")],
        "n_candidates": [at_least(1)],
        "algorithm": [StrOptions({"auto", "exact", "lsh"})],
        "validation_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
        "refit": [StrOptions({"auto"}), "boolean"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        estimator,
        *,
        n_neighbors=20,
        weight="auto",
        n_candidates=50,
        algorithm="auto",
        validation_fraction="auto",
        refit="auto",
        random_state=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.weight = weight
        self.n_candidates = n_candidates
        self.algorithm = algorithm
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit the estimator, choose the weight, and keep the rows that vote.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            One label a row, or an indicator matrix.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows: of their votes, of held-out rows in the mean,
            and passed to the estimator.

        **fit_params : dict
            Passed to the estimator's `fit`, by metadata routing where that is enabled.

        Returns
        -------
        self : NeighborBlendClassifier
            Fitted estimator.

        Raises
        ------
        MemoryError
            If the neighbours' index would not fit; says how many bytes it takes.

        ValueError
            If the data do not fit, or there is no row to hold out.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, fit_params)

    def _fit(self, X, y, sample_weight, fit_params):
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True)
        X = checked_csr(X) if sp.issparse(X) else X
        if self.weight != 0:
            require_neighbors(X, self.algorithm)
        self._n_threads = effective_n_threads(self.n_jobs)
        params = self._routed(sample_weight, fit_params)
        row_weight = check_sample_weight(sample_weight, X, np.float32)
        self._format = TargetFormat.of(y)
        self.classes_ = self._format.classes
        Y = self._format.encode(y)
        random_state = check_random_state(self.random_state)

        searches = self.weight == "auto"
        held_out = self._rows_held_out(Y, row_weight, random_state) if searches else []
        refits = not searches or self._refits(len(held_out) / X.shape[0])
        metadata = None if sample_weight is None else {"sample_weight": row_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        root = self._init_callback_context(max_subtasks=searches + refits)
        root.call_on_fit_task_begin(estimator=self, **data)
        self.weight_, self.weight_scores_ = self.weight if searches else float(self.weight), None
        if searches:
            self._choose_weight(X, y, Y, row_weight, params, held_out, root, random_state)
        if refits:
            self.estimator_ = None  # never two at a time
            self.estimator_ = self._fitted(root, "fit", data, params)
        self._electorate = None
        if self.weight_ > 0:
            self._electorate = self._electorate_of(X, Y, row_weight, random_state)
        root.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes={})
        return self

    def _routed(self, sample_weight, fit_params):
        """Arguments of the estimator's `fit`."""
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        given |= fit_params
        return process_routing(self, "fit", **given).estimator.fit if routing_enabled() else given

    def _rows_held_out(self, Y, row_weight, random_state):
        """Rows that choose the weight; every class that is one of one label a row stays seen."""
        spare = random_state.permutation(np.flatnonzero(row_weight))
        n_rows = len(spare)
        if not self._format.multilabel:
            _, seen_first = np.unique(Y.indices[spare], return_index=True)
            spare = np.delete(spare, seen_first)
        share, most = self.validation_fraction, n_rows - 1
        if share == "auto":
            share, most = HELD_OUT_SHARE, min(most, MOST_HELD_OUT)
        wanted = min(math.ceil(share * n_rows), most)
        if not min(wanted, len(spare)):
            raise ValueError(
                f'weight="auto" found no row to hold out among n_samples={n_rows} of positive '
                "weight, one of each class being needed to fit. Pass a number as weight."
            )
        return np.sort(spare[:wanted])

    def _refits(self, share_held_out):
        return share_held_out > REFIT_ABOVE if self.refit == "auto" else self.refit

    def _choose_weight(self, X, y, Y, row_weight, params, held_out, root, random_state):
        """Fit on the rows not held out, and take the weight that serves the others best."""
        rows = np.setdiff1d(np.arange(X.shape[0]), held_out)
        known, asked = X[rows], X[held_out]
        data = {"X": known, "y": y[rows], "metadata": None}
        if "sample_weight" in params:
            data["metadata"] = {"sample_weight": row_weight[rows]}
        part = check_method_params(X, params, indices=rows)
        self.estimator_ = self._fitted(root, "weight search", data, part)
        electorate = self._electorate_of(known, Y[rows], row_weight[rows], random_state)
        listed = self._listed(self.estimator_, asked, DEPTHS[-1])
        precision = precision_of_weights(
            electorate.poll(asked, self._n_threads), *listed, Y[held_out], self._n_threads
        )
        self.weight_, curve = choose_weight(precision, row_weight[held_out])
        self.weight_scores_ = dict(zip(WEIGHTS, curve.tolist(), strict=True))

    def _electorate_of(self, X, Y, row_weight, random_state):
        votes = row_weight > 0
        if not votes.all():
            X, Y, row_weight = X[votes], Y[votes], row_weight[votes]
        return Electorate(
            finder_for(X, self.algorithm)(X, random_state, self.n_jobs),
            voting_labels(Y),
            None if (row_weight == row_weight[0]).all() else row_weight,
            self.n_neighbors,
        )

    def _fitted(self, root, task_name, data, params):
        """A clone of the estimator fitted to the data, as a task under callbacks."""
        estimator = clone(self.estimator)
        task = root.subcontext(task_name=task_name)
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(estimator=self, **data)
            estimator.fit(data["X"], data["y"], **params)
            task.call_on_fit_task_end(estimator=self, **data)
        if not np.array_equal(estimator.classes_, self.classes_):
            raise ValueError(
                f"estimator must have classes_ {self.classes_!r}, the labels of y; "
                f"{type(estimator).__name__} has {estimator.classes_!r}."
            )
        return estimator

    def get_metadata_routing(self):
        """Metadata routing: `sample_weight` is used here, and all goes to the estimator.

        Returns
        -------
        routing : MetadataRouter
            What `fit` passes on.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_electorate")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self.estimator)
        tags.input_tags.sparse = of_estimator.input_tags.sparse
        tags.classifier_tags.multi_label = of_estimator.classifier_tags.multi_label
        return tags
