"""What values the parameters may have that all classifiers on the shared network take."""

from numbers import Integral, Real

from sklsh._hashing import HASH_FAMILIES, MAX_BITS
from sklsh._sklearn import Interval, StrOptions, at_least, fraction
from sklsh._storage import STORAGE
from sklsh.optimizers import OPTIMIZERS, Optimizer

CONSTRAINTS = {
    "hidden_layer_sizes": [at_least(1), "array-like"],
    "n_active": [at_least(1)],
    "hash_family": [StrOptions(set(HASH_FAMILIES))],
    "n_bits": [StrOptions({"auto"}), Interval(Integral, 1, MAX_BITS, closed="both")],
    "n_tables": [at_least(1)],
    "bucket_size": [at_least(1)],
    "rehash_every": [at_least(1)],
    "rehash_growth": [at_least(1, Real)],
    "prediction": [StrOptions({"exact", "lsh"})],
    "input_dropout": [StrOptions({"auto"}), fraction()],
    "hidden_dropout": [StrOptions({"auto"}), fraction()],
    "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions({"linear", "cosine", "invscaling", "constant"})],
    "power_t": [at_least(0, Real)],
    "beta_1": [fraction()],
    "beta_2": [fraction()],
    "epsilon": [Interval(Real, 1e-30, 1e30, closed="both")],
    "batch_size": [StrOptions({"auto"}), at_least(1)],
    "max_iter": [StrOptions({"auto"}), at_least(1)],
    "shuffle": ["boolean"],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [at_least(1)],
    "tol": [at_least(0, Real)],
    "dtype": [StrOptions(set(STORAGE))],
    "product_dtype": [StrOptions({"auto", "float32", "int8"})],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "n_jobs": [None, Integral],
}
