"""
Names that tell packages apart
==============================

Which names give away that a piece of Python is from NumPy, SciPy, scikit-learn or the standard
library? The files of the four that this machine has are cut into pieces of a hundred lines, and
a row is the set of names in a piece. A :class:`sklsh.MISSIONHashSelector` reads the rows: it keeps
no dictionary of names, only those that matter. Names of the packages themselves are left out, and
one file in five is kept for testing.
"""

import re
import sysconfig
import zlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy
import sklearn
from sklearn.linear_model import LogisticRegression

from sklsh import MISSIONHashSelector

FOLDERS = {
    "NumPy": Path(np.__file__).parent,
    "SciPy": Path(scipy.__file__).parent,
    "scikit-learn": Path(sklearn.__file__).parent,
    "standard library": Path(sysconfig.get_path("stdlib")),
}
NAME = re.compile(r"[^\W\d]\w+")
LEFT_OUT = {"numpy", "np", "scipy", "sp", "sklearn", "scikit"}
N_LINES = 100  # of a piece

# %%
# Rows of names. Packages that are installed inside the standard library's folder are none of it.


def pieces(folder):
    """Yield (is_test, names) of each piece of the files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if {"site-packages", "dist-packages"} & set(inside.parts):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        is_test = zlib.crc32(str(inside).encode()) % 5 == 0
        for start in range(0, len(lines), N_LINES):
            names = set(NAME.findall("\n".join(lines[start : start + N_LINES])))
            yield is_test, sorted(names - LEFT_OUT)


rows, labels, is_test = [], [], []
for label, folder in FOLDERS.items():
    for in_test, names in pieces(folder):
        rows.append(names)
        labels.append(label)
        is_test.append(in_test)
labels, is_test = np.array(labels), np.array(is_test)
train = [row for row, held_out in zip(rows, is_test, strict=True) if not held_out]
test = [row for row, held_out in zip(rows, is_test, strict=True) if held_out]
n_names = len(set().union(*map(set, train)))
print(f"{len(train):,} pieces with {n_names:,} different names, and {len(test):,} for testing")

# %%
# Two hundred names.

selector = MISSIONHashSelector(200, class_weight="balanced", random_state=0)
selector.fit(train, labels[~is_test])
print(f"The model takes {selector.memory_usage_['total']:,} bytes.")

refit = LogisticRegression(max_iter=1000).fit(selector.transform(train), labels[~is_test])
accuracy = refit.score(selector.transform(test), labels[is_test])
print(f"By these names alone {accuracy:.1%} of the pieces of other files are told right;")
print(f"the most frequent package is {np.mean(labels[is_test] == 'standard library'):.1%} of them.")

# %%
# The names that count most for each.

names, weights = selector.get_feature_names_out(), selector.feature_weights_
fig, axes = plt.subplots(1, 4, figsize=(12, 5), layout="constrained")
for c, (label, axis) in enumerate(zip(selector.classes_, axes, strict=True)):
    best = np.argsort(weights[:, c])[-15:]
    axis.barh(names[best], weights[best, c], color=f"C{c}")
    axis.set_title(label)
    axis.spines[["top", "right"]].set_visible(False)
fig.supxlabel("weight")
plt.show()
