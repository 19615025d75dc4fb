"""What an estimator has to be, and what rows have to be, for it to be trained on draws of them."""

import inspect

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags
from sklearn.utils.validation import check_non_negative, column_or_1d

from sklsh._sklearn import checked_csr, validate_data
from sklsh._targets import TargetFormat


class CheckedRows:
    """Mixin of the checks of an estimator around another one."""

    def _check_estimator(self):
        name = type(self.estimator).__name__
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise TypeError(f"estimator must be a classifier or a regressor; got {name}.")
        if "sample_weight" not in inspect.signature(self.estimator.partial_fit).parameters:
            raise TypeError(
                "estimator must have a partial_fit that accepts sample_weight, which makes up for "
                f"how rows are drawn; that of {name} does not."
            )

    def _validated(self, X, y, *, reset):
        inputs = get_tags(self.estimator).input_tags
        classifies = is_classifier(self)
        with np.errstate(over="ignore", invalid="ignore"):  # it is refused as infinite
            X, y = validate_data(
                self, X, y, accept_sparse="csr" if inputs.sparse else False, dtype=np.float32,
                multi_output=classifies, y_numeric=not classifies, reset=reset,
            )  # fmt: skip
        if inputs.positive_only:  # estimators would say so in the midst of training
            check_non_negative(X, type(self.estimator).__name__)
        return checked_csr(X) if sp.issparse(X) else X, y

    def _labels(self, y, classes, *, resume, partial):
        """Labels to train on, and the class of each row; of one class if multilabel."""
        if not resume:
            target_format = TargetFormat.of(y, classes)
            if target_format.multilabel:
                if not get_tags(self.estimator).classifier_tags.multi_label:
                    raise ValueError(
                        "y must be one label a row: "
                        f"{type(self.estimator).__name__} takes no indicator matrix."
                    )
            elif partial and classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._format, self.classes_ = target_format, target_format.classes
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be as in the first call, {self.classes_!r}; got {classes!r}."
            )
        Y = self._format.encode(y)
        if self._format.multilabel:
            return y, np.zeros(y.shape[0], dtype=np.int32)
        return column_or_1d(y), Y.indices
