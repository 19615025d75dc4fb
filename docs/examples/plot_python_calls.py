"""
Which functions does this function call?
========================================

Extreme multi-label classification on data that every machine has: the Python sources
installed with the package. A row is a function, told by the words of its name, arguments
and docstring; its labels are the thousands of names that functions call. Training and
test functions come from different modules.

The sampled network looks at a small part of the labels in each step. It is compared with
the most popular labels, with the labels of the nearest training functions, and with the
exact network, which looks at all labels in each step.
"""

import time
from pathlib import Path

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.callback import ProgressBar
from sklearn.feature_extraction.text import TfidfVectorizer

from sklsh import SLIDEClassifier
from sklsh.datasets import load_python_calls
from sklsh.metrics import precision_at_k

EPOCHS = 5
PICTURE = Path("demo") / "learning_curve.png"
console = Console(width=100)


class LearningCurve:
    """Callback that notes precision on test rows and CPU seconds after each epoch."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def setup(self, estimator, context):
        """Start the clock."""
        self.precision, self.seconds, self._spent = [], [], 0.0
        self._since = time.process_time()

    def on_fit_task_begin(self, estimator, context):
        """Nothing to do."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Measure, with the clock stopped."""
        if context.task_name == "epoch":
            self._spent += time.process_time() - self._since
            labels, _ = fitted_estimator.predict_top_k(self.X, 1)
            self.precision.append(precision_at_k(self.y, labels))
            self.seconds.append(self._spent)
            self._since = time.process_time()

    def teardown(self, estimator, context):
        """Nothing to do."""


def popular_labels(Y, n_rows, k):
    """The k most frequent labels, for every row."""
    order = np.argsort(-Y.sum(axis=0), kind="stable")
    return np.tile(np.asarray(order).ravel()[:k], (n_rows, 1))


def neighbour_labels(X, Y, X_test, k, n_neighbors=20):
    """The k labels with most votes among the nearest training rows by cosine."""
    best = []
    for first in range(0, X_test.shape[0], 256):
        cosine = (X_test[first : first + 256] @ X.T).toarray()
        nearest = np.argpartition(-cosine, n_neighbors)[:, :n_neighbors]
        for weights, rows in zip(cosine, nearest, strict=True):
            votes = np.asarray(weights[rows] @ Y[rows]).ravel()
            best.append(np.argsort(-votes, kind="stable")[:k])
    return np.array(best)


console.rule("Data")
train, test = load_python_calls(subset="train"), load_python_calls(subset="test")
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
X, X_test = vectorizer.fit_transform(train.data), vectorizer.transform(test.data)
Y, Y_test = train.target, test.target
console.print(
    f"{X.shape[0]:,} functions to learn from, {X_test.shape[0]:,} of other modules to judge by; "
    f"{X.shape[1]:,} words, {Y.shape[1]:,} labels, {Y.nnz / Y.shape[0]:.1f} labels a row."
)

# %%
# Two networks of the same size, the same number of epochs.
console.rule("Training")
models = {
    "sampled": SLIDEClassifier(n_active=500, max_iter=EPOCHS, random_state=0),
    "exact": SLIDEClassifier(active_set="full", max_iter=EPOCHS, random_state=0),
}
curves = {}
for name, model in models.items():
    console.print(f"{name} network:")
    curves[name] = LearningCurve(X_test, Y_test)
    model.set_callbacks(ProgressBar(), curves[name]).fit(X, Y)

# %%
# Precision at 1, 3 and 5, beside two baselines.
predictions = {
    "most popular labels": (popular_labels(Y, X_test.shape[0], 5), "", ""),
    "20 nearest neighbours": (neighbour_labels(X, Y, X_test, 5), "", ""),
}
for name, model in models.items():
    share = f"{model.n_active_ / Y.shape[1]:.0%}"
    labels, _ = model.predict_top_k(X_test, 5)
    predictions[f"{name} network"] = (labels, f"{curves[name].seconds[-1]:.1f}", share)

table = Table(title="Precision on functions of unseen modules")
for column in ("", "P@1", "P@3", "P@5", "CPU seconds to train", "labels looked at in a step"):
    table.add_column(column, justify="right")
for name, (labels, seconds, share) in predictions.items():
    scores = [f"{precision_at_k(Y_test, labels, k=k):.3f}" for k in (1, 3, 5)]
    table.add_row(name, *scores, seconds, share)
console.print(table)

# %%
# Predictions a person can judge: the most confident ones for documented functions.
console.rule("A few predictions")
labels, scores = models["sampled"].predict_top_k(X_test, 5)
documented = np.array([len(summary.split()) > 3 for summary in test.summaries])
confident = np.argsort(-scores[:, 0] * documented, kind="stable")
shown = set()
for row in confident:
    module = test.names[row].rsplit(".", 1)[0]
    if module in shown:
        continue
    shown.add(module)
    true = set(Y_test[[row]].indices)
    console.print(f"[bold]{test.names[row]}[/]: {test.summaries[row]}", highlight=False)
    for i in labels[row]:
        mark = "[green]✓[/]" if i in true else "[red]✗[/]"
        console.print(f"    {mark} {train.target_names[i]}", highlight=False)
    if len(shown) == 6:
        break
console.print("✓ it calls this, ✗ it does not")

# %%
# Learning curves along CPU time.
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for name, curve in curves.items():
    share = models[name].n_active_ / Y.shape[1]
    axes.plot(
        curve.seconds, curve.precision, marker="o", label=f"{name}: {share:.0%} of labels a step"
    )
for name in ("most popular labels", "20 nearest neighbours"):
    level = precision_at_k(Y_test, predictions[name][0])
    axes.axhline(level, color="0.6", linestyle="--", linewidth=1)
    axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom")
axes.set(
    xlabel="CPU seconds of training",
    ylabel="precision at 1, unseen modules",
    title="Learning to name the calls of a Python function",
    xlim=(0, None),
)
axes.legend(loc=(0.45, 0.3))
PICTURE.parent.mkdir(exist_ok=True)
figure.savefig(PICTURE, dpi=120)
console.print(f"Learning curves: {PICTURE}")
