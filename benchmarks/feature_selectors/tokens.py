"""Names of features, for the systems that read text."""

NAME = "f"  # stands before the id


def tokens_of(X):
    """A list of names for each row."""
    rows = zip(X.indptr[:-1], X.indptr[1:], strict=True)
    return [[NAME + str(i) for i in X.indices[a:b].tolist()] for a, b in rows]


def id_of(name):
    """The id in a name."""
    return int(name.removeprefix(NAME))
