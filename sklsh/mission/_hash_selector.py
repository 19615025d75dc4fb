"""MISSIONHashSelector: the tokens that matter most, out of any number, by name."""

import scipy.sparse as sp
from sklearn.base import TransformerMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from sklsh._sklearn import StrOptions, check_is_fitted, effective_n_threads
from sklsh._tokens import INPUT_TYPES, TokenNames, hash_rows
from sklsh.mission._documents import with_parameters
from sklsh.mission._estimator import SketchedLinearEstimator
from sklsh.mission._support import Support, columns_of


@with_parameters
class MISSIONHashSelector(Support, TransformerMixin, SketchedLinearEstimator):
    """Select tokens by the weights of a linear model that is kept in kilobytes.

    :class:`MISSIONSelector` for rows of tokens: words, k-mers, "field=value" pairs. Tokens are
    hashed to 63 bits, so that there is no dictionary of them; the text of a token is kept while
    it is among the features that matter most, so that what is selected has names.

    Parameters
    ----------
    {parameters}

    input_type : {"string", "pair", "dict"}, default="string"
        Rows are iterables of tokens, iterables of pairs (token, value), or mappings from
        tokens to values, as for :class:`sklearn.feature_extraction.FeatureHasher`: a value
        that is a str makes the token "token=value" of value 1, and values of a token that
        is repeated add up. With "string" rows may also be arrays of fixed-width bytes or str.

    Attributes
    ----------
    feature_ids_ : ndarray of shape (n_selected,), int64
        Hashes of the tokens selected, ascending.

    feature_weights_ : ndarray of shape (n_selected,) or (n_selected, n_classes)
        Their weights; a column for each class if there are more than two.

    ranking_ : ndarray of shape (n_selected,)
        Their ranks, 1 for the largest weight.

    supports_per_class_ : list of ndarray
        For each class the hashes of the tokens that matter most for it, best first.

    classes_ : ndarray of shape (n_classes,)
        Labels; for losses of classification.

    {attributes}
        Bytes of the "names" as well.

    See Also
    --------
    MISSIONSelector : The same for matrices.
    sklsh.datasets.iter_fasta_kmers, sklsh.datasets.iter_word_ngrams : Rows of tokens.
    sklearn.feature_extraction.FeatureHasher : Hashes to a matrix; names are lost.

    {references}

    Examples
    --------
    >>> from sklsh import MISSIONHashSelector
    >>> rows = [["red", "round"], ["green", "round"], ["red", "long"], ["green", "long"]] * 50
    >>> color = ["r", "g", "r", "g"] * 50
    >>> selector = MISSIONHashSelector(2, random_state=0).fit(rows, color)
    >>> sorted(selector.get_feature_names_out())
    ['green', 'red']
    >>> selector.transform([["red", "red", "square"]]).sum()
    np.float32(2.0)
    """

    _parameter_constraints = SketchedLinearEstimator._parameter_constraints | {
        "input_type": [StrOptions(set(INPUT_TYPES))]
    }

    def __init__(
        self,
        n_features_to_select=100,
        *,
        input_type="string",
        mode="active",
        width="auto",
        depth="auto",
        loss="log_loss",
        learning_rate_init="auto",
        learning_rate="linear",
        power_t=0.5,
        alpha=1e-5,
        l1_ratio=0.0,
        epsilon=0.1,
        batch_size="auto",
        max_iter="auto",
        shuffle=True,
        normalize=False,
        class_weight=None,
        verbose=False,
        random_state=None,
        n_jobs=None,
    ):
        super().__init__(
            n_features_to_select, mode=mode, width=width, depth=depth, loss=loss,
            learning_rate_init=learning_rate_init, learning_rate=learning_rate, power_t=power_t,
            alpha=alpha, l1_ratio=l1_ratio, epsilon=epsilon, batch_size=batch_size,
            max_iter=max_iter, shuffle=shuffle, normalize=normalize, class_weight=class_weight,
            verbose=verbose, random_state=random_state, n_jobs=n_jobs,
        )  # fmt: skip
        self.input_type = input_type

    def fit(self, raw_X, y, sample_weight=None):
        """Train on rows of tokens and y.

        Parameters
        ----------
        raw_X : iterable of iterables or of mappings, of length n_samples
            Rows of tokens, see `input_type`. All are held in memory, hashed and as text; what
            is too much for it goes to `partial_fit` in chunks.

        y : array-like of shape (n_samples,)
            Labels or, for regression losses, numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If rows or tokens are not as `input_type` says, with the number of the row, the
            data do not fit, or training diverges.

        MemoryError
            If the model would not fit; says how many bytes it takes.
        """
        return super().fit(raw_X, y, sample_weight)

    def _draw_seeds(self):
        super()._draw_seeds()
        self._names = TokenNames()

    def _validated(self, raw_X, y, *, reset, y_numeric):
        tokens = self._hashed(raw_X)
        y = column_or_1d(y, warn=True)
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(tokens.X, y)
        self._tokens = tokens
        return self._as_rows(tokens.X), y

    def _hashed(self, raw_X):
        return hash_rows(
            raw_X,
            input_type=self.input_type,
            seed=self._seeds[2],
            n_threads=effective_n_threads(self.n_jobs),
        )

    def _note_names(self, X):
        self._names = self._names_now()
        del self._tokens

    def _names_now(self):
        """Texts of the active set; during training from the rows as well."""
        if not hasattr(self, "_tokens"):
            return self._names
        return TokenNames().merged(self._names).update(self._model.active_ids, self._tokens)

    def _take_merged(self, others, shares):
        super()._take_merged(others, shares)
        for other in others:
            self._names = self._names.merged(other._names)

    def transform(self, raw_X):
        """Counts, or summed values, of the selected tokens.

        Parameters
        ----------
        raw_X : iterable of iterables or of mappings, of length n_samples
            Rows of tokens, see `input_type`.

        Returns
        -------
        X : csr_array of shape (n_samples, n_selected), float32
            Columns in the order of `feature_ids_`.
        """
        check_is_fitted(self)
        X = columns_of(self._hashed(raw_X).X, self.feature_ids_)
        X.sum_duplicates()
        return X

    def inverse_transform(self, X):
        """Tokens and values of rows of selected columns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_selected)
            As `transform` returns it.

        Returns
        -------
        rows : list of dict
            Token to value, without zeros.
        """
        names = self.get_feature_names_out()
        X = check_array(X, accept_sparse="csr", ensure_min_features=0)
        if X.shape[1] != len(names):
            raise ValueError(f"X must have {len(names)} columns, those selected; got {X.shape[1]}.")
        rows = sp.csr_array(X)
        return [dict(zip(names[row.indices], row.data.tolist(), strict=True)) for row in rows]

    def get_support(self, indices=False):
        """Hashes of the selected tokens.

        Parameters
        ----------
        indices : bool, default=False
            Must be True: there is no mask of all tokens.

        Returns
        -------
        support : ndarray of int64
            As `feature_ids_`.

        Raises
        ------
        ValueError
            If `indices` is False.
        """
        if not indices:
            raise ValueError(
                "A mask of all possible tokens would take 2**63 bytes. Use "
                "get_support(indices=True)."
            )
        return self.feature_ids_

    def get_feature_names_out(self, input_features=None):
        """Texts of the selected tokens.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects
            In the order of `feature_ids_`.
        """
        ids = self.feature_ids_
        return self._names.names(ids)

    @property
    def _n_features_out(self):
        return len(self.feature_ids_)

    @property
    def memory_usage_(self):
        """Bytes of the active set with its index, the sketch, the names, and their total."""
        usage = super().memory_usage_
        names = self._names.nbytes
        return usage | {"names": names, "total": usage["total"] + names}

    def _reconstruction_attributes(self):
        return super()._reconstruction_attributes() | {"_names": self._names_now()}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = False
        tags.input_tags.string = self.input_type == "string"
        tags.input_tags.dict = self.input_type == "dict"
        return tags
