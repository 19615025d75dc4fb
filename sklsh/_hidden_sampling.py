"""The network that an estimator's `hidden_sampling` and `max_active` ask for."""

from numbers import Integral, Real

from sklsh._network import Network
from sklsh.hidden_sampling import SampledNetwork, sampled_bytes

KINDS = None, "lsh", "uniform"


def make_network(settings, n_features, n_classes, sizes, **options):
    """Network of the estimator `settings`; without sampled layers the usual one."""
    sampling = sampling_of(settings, sizes)
    if not any(sampling):
        return Network(n_features, n_classes, sizes, **options)
    tables = {"hash_family": settings.hash_family, "rehash_every": settings.rehash_every}
    return SampledNetwork(
        n_features, n_classes, sizes, sampling=sampling,
        n_active=active_units(settings, sizes), tables=tables, **options,
    )  # fmt: skip


def sampling_of(settings, sizes):
    """How each hidden layer is sampled."""
    return _of_each_layer(settings.hidden_sampling, sizes)


def active_units(settings, sizes):
    """Units that a row keeps of each layer: counts as they are, shares of the layer's width."""
    return [
        min(most, n) if isinstance(most, Integral) else max(1, round(most * n))
        for most, n in zip(_of_each_layer(settings.max_active, sizes), sizes, strict=True)
    ]


def sampled_layer_bytes(settings, sizes, n_batch):
    """Bytes that sampled layers take beside their weights and state."""
    sampling = sampling_of(settings, sizes)
    if not any(sampling):
        return 0
    return sampled_bytes(
        sizes, sampling, active_units(settings, sizes), settings.hash_family, n_batch
    )


def check_hidden_sampling(settings, sizes):
    """Raise ValueError for settings that layers of these sizes cannot have."""
    _check_each("hidden_sampling", settings, sizes, _is_kind, f"one of {list(KINDS)}")
    units = "an integer of at least 1, or a share in (0, 1]"
    _check_each("max_active", settings, sizes, _is_number_of_units, units)


def _check_each(name, settings, sizes, is_valid, wanted):
    value = getattr(settings, name)
    if isinstance(value, list | tuple) and len(value) != len(sizes):
        raise ValueError(
            f"{name} must be {wanted}, or a list with one of those for each of the {len(sizes)} "
            f"hidden layers; got {value!r}."
        )
    if not all(map(is_valid, _of_each_layer(value, sizes))):
        raise ValueError(f"{name} must be {wanted}, or a list of such; got {value!r}.")


def _is_kind(value):
    return value is None or (isinstance(value, str) and value in KINDS)


def _is_number_of_units(value):
    if isinstance(value, bool):
        return False
    return (isinstance(value, Integral) and value >= 1) or (
        isinstance(value, Real) and 0 < value <= 1
    )


def _of_each_layer(value, sizes):
    return list(value) if isinstance(value, list | tuple) else [value] * len(sizes)
