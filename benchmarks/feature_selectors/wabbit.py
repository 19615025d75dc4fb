"""Vowpal Wabbit on a text file, in a process of its own."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np

from feature_selectors.tokens import NAME, tokens_of

LINE = re.compile(rf"n\^{NAME}(\d+):\d+:(\S+)")
BYTES_OF_WEIGHT = 16  # itself, and what the adaptive, normalized rule keeps, in four floats


class Wabbit:
    """One pass over a file per fit; with `names`, its --invert_hash tells the names."""

    def __init__(
        self, *, python, folder, n_features_to_select, passes, seed, options, names=False
    ):  # fmt: skip
        self.n, self.options, self.python = n_features_to_select, options, python
        self.file = folder / "rows.txt"
        self.names = folder / "names.txt" if names else None
        self.options += f" -d {self.file} --quiet --random_seed {seed}"
        if names:
            self.options += f" --invert_hash {self.names}"
        if passes > 1:
            self.options += f" --passes {passes} --holdout_off -k --cache_file {self.file}.cache"

    def inputs(self, data):
        """The file."""
        with self.file.open("w") as file:
            for names, label in zip(tokens_of(data.X), data.y.tolist(), strict=True):
                file.write(f"{2 * label - 1} |n {' '.join(names)}\n")
        return ()

    def fit(self):
        """Read it, learn, and write the names."""
        script = Path(__file__).with_name("wabbit_run.py")
        command = [str(self.python), str(script), self.options]
        done = subprocess.run(command, capture_output=True, text=True, env={})
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        spent = json.loads(done.stdout.splitlines()[-1])
        self.cpu_s, self.peak_bytes = spent["cpu_s"], spent["peak_bytes"]

    def ranked(self, data):
        """Best first."""
        if self.names is None:
            return None
        with self.names.open() as file:
            found = [match.groups() for match in map(LINE.match, file) if match]
        ids, weights = np.array([i for i, _ in found], int), np.array([w for _, w in found], float)
        return ids[np.argsort(-np.abs(weights), kind="stable")[: self.n]]

    @property
    def n_bytes(self):
        """The table of weights; names are beside it."""
        bits = int(re.search(r"-b (\d+)", self.options).group(1))
        return BYTES_OF_WEIGHT << bits
