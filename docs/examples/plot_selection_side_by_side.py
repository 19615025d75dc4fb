"""
Words that tell of an error, found by many models
=================================================

Which words of a function's name, arguments and documentation tell that it raises a ValueError?
:class:`sklsh.MISSIONHashSelector` finds them among all words of the Python sources of this
machine. Here :func:`sklsh.distributed.fit` trains several of its models side by side, each on
partitions of its own, and in each round puts together what they have learnt. What does that
cost, and how many rounds are enough?

A cluster of a single thread inside this process stands for a cluster of machines, as what is
learnt does not depend on where. Its models learn one after the other, so that with a machine for
each they would take the time of all divided by their number, then the time of putting together,
which is as long as here, and what the network takes, which there is none of.
"""

import matplotlib.pyplot as plt
import numpy as np
from dask import delayed
from dask.distributed import Client
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from sklsh import MISSIONHashSelector
from sklsh.datasets import load_python_calls
from sklsh.distributed import fit

N_WORDS = 200
N_PARTITIONS = 32
N_MODELS = (2, 8, 32)
N_ROUNDS = (1, 2, 4, 8)

# %%
# Rows of words. They are dealt to the partitions at random, so that each is like the whole.

data = {subset: load_python_calls(subset=subset) for subset in ("train", "test")}
rows, raises = {}, {}
for subset, functions in data.items():
    label = np.flatnonzero(functions.target_names == "ValueError")
    raises[subset] = functions.target[:, label].toarray().ravel() > 0
    rows[subset] = [sorted(set(text.split())) for text in functions.data]
order = np.random.default_rng(0).permutation(len(rows["train"]))
partitions = [
    delayed(([rows["train"][i] for i in part], raises["train"][part]))
    for part in np.array_split(order, N_PARTITIONS)
]
print(f"{len(order):,} functions in {N_PARTITIONS} partitions; {raises['train'].mean():.1%} raise")


def precision(selector):
    """Average precision, on functions of other modules, of a model of the selected words."""
    refit = LogisticRegression(max_iter=300, class_weight="balanced")
    refit.fit(selector.transform(rows["train"]), raises["train"])
    scores = refit.decision_function(selector.transform(rows["test"]))
    return average_precision_score(raises["test"], scores)


# %%
# One model that sees all rows, and models side by side.

alone = MISSIONHashSelector(N_WORDS, random_state=0).fit(rows["train"], raises["train"])
precision_alone = precision(alone)
print(f"one model: {precision_alone:.3f}, {alone.n_iter_} epochs")
results = {}
with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"):
    for n_models in N_MODELS:
        for n_rounds in N_ROUNDS:
            selector = MISSIONHashSelector(N_WORDS, random_state=0)
            fit(selector, partitions, n_models=n_models, n_rounds=n_rounds)
            seconds = selector.local_seconds_ / n_models + selector.merge_seconds_
            found = precision(selector)
            results[n_models, n_rounds] = found, seconds
            print(f"{n_models} models, {n_rounds} rounds: {found:.3f}, {seconds:.2f} s")

# %%
# What rounds are worth, and what they take.

figure, (by_rounds, by_time) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
for n_models in N_MODELS:
    found, seconds = zip(*(results[n_models, n_rounds] for n_rounds in N_ROUNDS), strict=True)
    by_rounds.plot(N_ROUNDS, found, marker="o")
    by_time.plot(seconds, found, marker="o", label=f"{n_models} models")
    for n_rounds, x, height in zip(N_ROUNDS, seconds, found, strict=True):
        by_time.annotate(n_rounds, (x, height), (4, 4), textcoords="offset points", fontsize=8)
for axes in (by_rounds, by_time):
    axes.axhline(precision_alone, color="0.6", linestyle="--", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
by_rounds.annotate("one model", (N_ROUNDS[-1], precision_alone), ha="right", va="bottom")
by_rounds.set_xscale("log", base=2)
by_rounds.set_xticks(N_ROUNDS, N_ROUNDS)
by_rounds.set(
    xlabel=f"rounds in {alone.n_iter_} epochs", ylabel="average precision, unseen modules"
)
by_time.set(xlabel="seconds, a machine for each model; numbers are rounds", xlim=(0, None))
by_time.legend()
figure.tight_layout()
plt.show()

# %%
# The largest weights of the one model.

names, weights = alone.get_feature_names_out(), alone.feature_weights_.ravel()
print("raise:", *names[np.argsort(-weights)[:15]])
print("do not:", *names[np.argsort(weights)[:15]])
