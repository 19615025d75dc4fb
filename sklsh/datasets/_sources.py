"""Installed Python sources: which there are, their split, and a cache of what is made of them."""

import contextlib
import gzip
import hashlib
import importlib.util
import json
import os
import re
import sys
import sysconfig
import uuid
import warnings
import zlib
from numbers import Integral
from pathlib import Path

from sklearn.datasets import get_data_home

_PACKAGES = ("numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "narwhals")
# Test code, and "externals", where packages keep copies of one another's code.
_LEFT_OUT = re.compile(
    r"_*(tests?|testing|test_\w+|\w*testutils|pytesttester|conftest|idle_test|externals)"
)


def check_parameters(subsets, subset, data_home, min_count):
    """Raise ValueError for what no loader takes."""
    if not isinstance(subset, str) or subset not in subsets:
        *others, last = (f'"{name}"' for name in subsets)
        raise ValueError(f"subset must be {', '.join(others)} or {last}, got {subset!r}.")
    if data_home is not None and not isinstance(data_home, (str, os.PathLike)):
        raise ValueError(f"data_home must be None, a str or a path-like, got {data_home!r}.")
    if not isinstance(min_count, Integral) or isinstance(min_count, bool) or min_count < 1:
        raise ValueError(f"min_count must be an integer of at least 1, got {min_count!r}.")


def split_percent(module):
    """Number from 0 to below 100 by which to split modules: a hash of the path's last part.

    Modules that were copied or that implement the same interface thus stay together.
    """
    last_part = module.rpartition(".")[2].strip("_")
    return int(hashlib.sha256(last_part.encode()).hexdigest(), 16) % 100


def cached(name, version, data_home, *, make, restore):
    """Return `restore(content)`, of the cache or else of the new `make(sources)`.

    Content is what JSON can hold. `version` is to be raised whenever the same sources would
    make other content. Loaders call this themselves, for warnings to tell of their callers.
    """
    sources = find_sources(source_roots())
    # All that a missing, damaged or foreign file can raise.
    with contextlib.suppress(OSError, EOFError, zlib.error, ValueError, TypeError, LookupError):
        return restore(_read_cache(_cache_path(name, version, data_home, sources)))
    content = make(sources)
    try:
        _write_cache(_cache_path(name, version, data_home, sources), content)
    except OSError as error:
        warnings.warn(f"The data cannot be cached: {error}", stacklevel=3)
    return restore(content)


def source_roots():
    """Map the name of each package to its folder or file; "" is the standard library."""
    roots = {"": sysconfig.get_path("stdlib")}
    for package in _import_packages():
        path = Path(package.__file__)
        roots[package.__name__] = path.parent if path.stem == "__init__" else path
    return roots


def find_sources(roots):
    """List the (module name, path) of all modules below `roots`, sorted."""
    sources = [(package, str(root)) for package, root in roots.items() if os.path.isfile(root)]
    for package, root in roots.items():
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = filter(_is_wanted, subfolders)
            parents = [package, *Path(folder).relative_to(root).parts]
            for stem, suffix in map(os.path.splitext, files):
                if suffix == ".py" and _is_wanted(stem):
                    parts = parents if stem == "__init__" else [*parents, stem]
                    module = ".".join(filter(None, parts))
                    sources.append((module, os.path.join(folder, stem + suffix)))
    return sorted(sources)


def _is_wanted(name):
    # No identifier, no import: this leaves out "site-packages" and files of one platform.
    return name.isidentifier() and not _LEFT_OUT.fullmatch(name)


def _import_packages():
    return [importlib.import_module(name) for name in _PACKAGES if importlib.util.find_spec(name)]


def _cache_path(name, version, data_home, sources):
    # The sizes tell apart installations of the same versions, such as a standard library of
    # which some parts are packaged separately, or packages installed for development.
    sizes = [(module, os.path.getsize(path)) for module, path in sources]
    versions = [(package.__name__, package.__version__) for package in _import_packages()]
    facts = json.dumps([version, sys.version, sys.platform, versions, sizes])
    key = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return Path(get_data_home(data_home), "sklsh", f"{name}_{key}.json.gz")


def _read_cache(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def _write_cache(path, content):
    path.parent.mkdir(exist_ok=True)
    # Written aside and moved, so that no other process ever reads half a file.
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(gzip.compress(json.dumps(content).encode(), 6, mtime=0))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
