"""NumPy twins of the kernels: naive, a few lines each, in float64 where that helps.

Inputs are those of the kernel; what a kernel writes, its twin returns.
"""

import re
from fractions import Fraction

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import hadamard
from scipy.special import expit, logsumexp

WORD = (1 << 64) - 1

# ---- _rows ----


def dense(indptr, indices, values, n_columns):
    """CSR matrix as a dense one; what stands twice in a row is added up."""
    matrix = np.zeros((len(indptr) - 1, n_columns))
    np.add.at(matrix, (np.repeat(np.arange(len(matrix)), np.diff(indptr)), indices), values)
    return matrix


def embed(indptr, indices, values, table, bias):
    return dense(indptr, indices, values, len(table)) @ table.astype(float) + bias


def score(hidden, table, starts, ids):
    rows = np.repeat(np.arange(len(hidden)), np.diff(starts))
    return (hidden[rows].astype(float) * table[ids]).sum(axis=1)


def sgd(hyper, w, slot1, slot2, g):
    return w - hyper[0] * g, slot1, slot2


def momentum(hyper, w, velocity, slot2, g):
    rate, share = hyper
    velocity = share * velocity - rate * g
    return w + velocity, velocity, slot2


def adam(hyper, w, m, v, g, square=None):
    rate, gain1, gain2, epsilon = hyper[:4]
    m = (1 - gain1) * m + gain1 * g
    v = (1 - gain2) * v + gain2 * (g**2 if square is None else square)
    return w - rate * m / (np.sqrt(v) + epsilon), m, v


def rmsprop(hyper, w, slot1, v, g, square=None):
    w, _, v = adam([hyper[0], 1, *hyper[2:]], w, g, v, g, square)
    return w, slot1, v


def row_adam(hyper, w, m, v, g):
    return adam(hyper, w, m, v, g, (g**2).sum(axis=1, keepdims=True) * hyper[4])


def row_rmsprop(hyper, w, slot1, v, g):
    return rmsprop(hyper, w, slot1, v, g, (g**2).sum(axis=1, keepdims=True) * hyper[4])


def adagrad(hyper, w, slot1, v, g):
    v = v + g**2
    return w - hyper[0] * g / (np.sqrt(v) + hyper[1]), slot1, v


# (twin, number of the rule, hyper, state): of what each slot holds a number
UPDATE_RULES = {
    "sgd": (sgd, 0, [0.5], (None, None)),
    "momentum": (momentum, 1, [0.5, 0.75], ("weight", None)),
    "adam": (adam, 2, [0.5, 0.25, 0.125, 1e-3], ("weight", "weight")),
    "rmsprop": (rmsprop, 3, [0.5, 1, 0.125, 1e-3], (None, "weight")),
    "row_adam": (row_adam, 4, [0.5, 0.25, 0.125, 1e-3, 0.0625], ("weight", "row")),
    "row_rmsprop": (row_rmsprop, 5, [0.5, 1, 0.125, 1e-3, 0.0625], (None, "row")),
    "adagrad": (adagrad, 6, [0.5, 1e-3], (None, "weight")),
}


def slot_shapes(rule, n_rows, n_columns):
    widths = {"weight": n_columns, "row": 1, None: 0}
    return [(n_rows, widths[holder]) for holder in UPDATE_RULES[rule][3]]


# ---- _batches ----


def take_rows(indptr, indices, values, rows, rate, seed):
    """(starts, indices, values) of the rows `rows`, without what dropout takes."""
    places = [np.arange(indptr[i], indptr[i + 1]) for i in rows]
    kept = [[mix(mix(seed) + int(j)) >> 32 >= int(rate * 2**32) for j in row] for row in places]
    places = [row[np.array(keep, dtype=bool)] for row, keep in zip(places, kept, strict=True)]
    taken = np.concatenate([np.zeros(0, dtype=int), *places])
    starts = np.cumsum([0, *map(len, places)])
    return starts, indices[taken], values[taken] * np.float32(1 / (1 - rate))


def transpose_batch(indptr, indices, values):
    """Distinct features in ascending order, starts, rows, values."""
    features, n_values = np.unique(indices, return_counts=True)
    order = np.argsort(indices, kind="stable")
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return features, np.cumsum([0, *n_values]), rows[order], values[order]


# ---- _layers ----


def unit_factors(n, width, rate, seed):
    """What dropout multiplies each of n x width activations by, four to a random number."""
    factors = np.empty((n, width), dtype=np.float32)
    for i, unit in np.ndindex(n, width):
        bits = mix(mix(seed) + i * width + unit // 4) >> (16 * (unit % 4))
        least = int(rate * 2**16)
        factors[i, unit] = 2**16 / (2**16 - least) if (bits & 0xFFFF) >= least else 0
    return factors


def relu_gradient(activations, delta, scale=1):
    """The gradient where something came through, and its sums by column."""
    masked = scale * delta * (activations > 0)
    return masked, masked.sum(axis=0)


# ---- _losses ----


def softmax_loss(logits, offset, indptr, positions, label_weight, row_weight):
    """Loss of each row, its log partition, the gradient by the logits."""
    z = logits[:, : len(offset)].astype(float) + offset
    labels = dense(indptr, positions, label_weight, len(offset))
    log_partition = logsumexp(z, axis=1)
    target = labels.sum(axis=1)
    loss = row_weight * (target * log_partition - (labels * z).sum(axis=1))
    softmax = np.exp(z - log_partition[:, None])
    return loss, log_partition, row_weight[:, None] * (target[:, None] * softmax - labels)


def logistic_loss(logits, offset, weight, indptr, positions, label_weight, row_weight):
    """Loss of each row, the gradient by the logits."""
    z = logits[:, : len(offset)].astype(float) + offset
    is_label = dense(indptr, positions, np.ones(len(positions)), len(offset))
    scale = weight * (1 - is_label + dense(indptr, positions, label_weight, len(offset)))
    loss = row_weight * (scale * (np.logaddexp(0, z) - is_label * z)).sum(axis=1)
    return loss, row_weight[:, None] * scale * (expit(z) - is_label)


# ---- _simhash, _dwta, _tables ----


def simhash(vectors, width, signs, n_bits, n_tables):
    """Codes of all vectors, by dense Hadamard matrices."""
    H = hadamard(signs.shape[2])
    x = np.zeros((len(vectors), len(H)))
    x[:, :width] = vectors[:, :width]
    projections = np.hstack([(x * first @ H) * second @ H for first, second in signs])
    bits = projections[:, : n_tables * n_bits] < 0
    codes = bits.reshape(len(x), n_tables, n_bits) @ (1 << np.arange(n_bits))
    codes[~x.any(axis=1)] = -1
    return codes


def dwta(vectors, order, n_digits, n_tables):
    """Codes of all vectors, bin by bin."""
    starts = range(0, order.shape[1], 8)
    codes = np.full((len(vectors), n_tables), -1)
    for row, x in zip(codes, vectors, strict=True):
        bins = [x[permutation[s : s + 8]] for permutation in order for s in starts]
        present = {b: np.where(v == 0, -np.inf, v) for b, v in enumerate(bins) if v.any()}
        digits = {b: int(v.argmax()) for b, v in present.items()}
        if digits:
            coded = np.array([filled(digits, b) for b in range(n_digits * n_tables)])
            row[:] = coded.reshape(n_tables, n_digits) @ 8 ** np.arange(n_digits)
    return codes


def filled(digits, b):
    """Digit of bin b, or of the donor whose hash with it is smallest."""
    return digits[b if b in digits else min(digits, key=lambda donor: mix(mix(b) + donor))]


def build_tables(codes, n_buckets):
    """(starts, ids) of each table."""
    buckets = [[np.flatnonzero(code == c) for c in range(n_buckets)] for code in codes.T]
    return [(np.cumsum([0, *map(len, table)]), np.concatenate(table)) for table in buckets]


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def below(seed, counter, n):
    return ((mix(mix(seed) + counter) >> 32) * n) >> 32


def looked_at(query_codes, item_codes, bucket_cap, salt):
    """The ids one query reads in each table: all of a bucket, or a run around its end."""
    read = []
    for t, code in enumerate(query_codes.tolist()):
        bucket = np.flatnonzero(item_codes[:, t] == code) if code >= 0 else np.zeros(0, int)
        shift = below(mix(salt) + code, t, len(bucket)) if len(bucket) > bucket_cap else 0
        read.append(np.roll(bucket, -shift)[:bucket_cap])
    return read


def union_of_buckets(query_codes, item_codes):
    """Distinct ids that share a bucket with one query, in order of table and id."""
    read = looked_at(query_codes, item_codes, len(item_codes), 0)
    return list(dict.fromkeys(np.concatenate(read)))


def pool_hits(codes, item_codes, held, bucket_cap, salt):
    """For each query the ids it reads that neither `held` nor an earlier query has."""
    seen, pools = set(held), []
    for query in codes:
        read = np.concatenate(looked_at(query, item_codes, bucket_cap, salt)).tolist()
        pools.append([id for id in dict.fromkeys(read) if id not in seen])
        seen.update(read)
    return pools


def rank_hits(query_codes, item_codes, query, vectors, offset, k):
    """(ids, scores) of one query: at most k, best first, ties to the smaller id."""
    found = np.sort(np.array(union_of_buckets(query_codes, item_codes), int))
    scores = vectors[found].astype(float) @ query + offset[found]
    best = np.argsort(-scores, kind="stable")[:k]
    return found[best], scores[best]


# ---- _coded_rows ----


def code_rows(weights):
    """(codes, scale): rows as whole numbers from -7 to 7, and what leads back."""
    scale = abs(weights).max(axis=1) / np.float32(7)
    factor = np.divide(1, scale, where=scale > 0, out=np.zeros_like(scale))
    return np.floor(weights * factor[:, None] + np.float32(0.5)).astype(int), scale


def rank_pool(pool, query, weights, bias, k):
    """Of the ids of a pool at most k, best first by coded rows, ties as the pool has them."""
    codes, scale = code_rows(weights)
    largest = abs(query).max()
    coded_query = np.floor(query * (126.99 / largest if largest else 0) + 0.5)
    scores = codes[pool] @ coded_query * (largest / 126.99) * scale[pool] + bias[pool]
    return pool[np.argsort(-scores, kind="stable")[:k]]


# ---- _topk ----


def top_k(hidden, weights, bias, k):
    """(ids, scores) of each row, best first, ties to the smaller id."""
    logits = hidden.astype(float) @ weights.T + bias
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(logits, ids, axis=1)


# ---- _candidates: sets are lists of ids ----


def take_labels(labels):
    """(ids, position of each label)."""
    ids = list(dict.fromkeys(labels))
    return ids, [ids.index(label) for label in labels]


def take_ranked(best, found, ids, limit):
    held = [row[:n] for row, n in zip(best, found, strict=True)]
    turns = [row[r] for r in range(best.shape[1]) for row in held if r < len(row)]
    fresh = [c for c in dict.fromkeys(turns) if c not in ids]
    return ids + fresh[: max(limit - len(ids), 0)]


def take_uniform(seed, n_classes, ids, limit):
    ids, counter = list(ids), 0
    while len(ids) < limit:
        drawn = below(seed, counter, n_classes)
        ids += [drawn] if drawn not in ids else []
        counter += 1
    return ids


# ---- _xmc_text ----


def float32_of(text):
    """Nearest float32 of a decimal number, ties to even, in whole numbers and fractions."""
    exact = abs(Fraction(text))
    if exact == 0:
        return np.float32(-0.0 if text.startswith("-") else 0.0)
    exponent = -149  # of the last of its 24 bits
    while exact >= Fraction(2) ** (exponent + 24):
        exponent += 1
    unit = Fraction(2) ** exponent
    value = round(exact / unit) * unit  # of a fraction, round goes to even
    value = float(value) if value < 2**128 else np.inf
    return np.float32(-value if text.startswith("-") else value)


def xmc_rows(text, n_classes, n_features):
    """Labels of each row, and lists of its (feature, value); ValueError if malformed."""
    rows = []
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        if not line:
            continue
        first, *entries = re.split(r"[ \t]+", line)
        labels = first.split(",") if first else []
        pairs = [re.fullmatch(r"([0-9]+):(.*)", entry) for entry in entries if entry]
        for index, n in [(i, n_classes) for i in labels] + [(p[1], n_features) for p in pairs]:
            if not re.fullmatch("[0-9]+", index) or int(index) >= n:
                raise ValueError(index)
        values = [p[2] for p in pairs]
        for value in values:
            if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value):
                raise ValueError(value)
        values = [float32_of(value) for value in values]
        if not np.isfinite(values).all():
            raise ValueError("too large")
        pairs = [(int(pair[1]), value) for pair, value in zip(pairs, values, strict=True)]
        rows.append((list(map(int, labels)), pairs))
    return rows


# ---- _active_sets: the set of one row ----


def draw_set(labels, query_codes, item_codes, n_classes, bucket_cap, n_retrieved, seed, row, size):
    """(ids, how many of them are labels or retrieved)."""
    ids = list(labels)
    limit = min(len(ids) + n_retrieved, size)
    for id in np.concatenate([[], *looked_at(query_codes, item_codes, bucket_cap, seed)]):
        if id not in ids and len(ids) < limit:
            ids.append(int(id))
    return take_uniform(mix(~seed % 2**64) + row, n_classes, ids, size), len(ids)


# ---- bfloat16, as the upper half of a float32 ----


def to_bfloat16(x):
    """Bits of the nearest bfloat16 to one float32, ties to even."""
    below = int(np.float32(x).view(np.uint32)) >> 16
    values = [np.uint32(bits << 16).view(np.float32) for bits in (below, below + 1)]
    distance = [abs(float(value) - float(x)) for value in values]
    if distance[0] == distance[1]:
        return below + below % 2
    return below if distance[0] < distance[1] else below + 1


# ---- _postings, _votes ----


def nearest_rows(queries, rows, k):
    """The k rows of largest positive cosine; -1 and 0 where there are fewer."""
    lengths = [np.sqrt((x.astype(float) ** 2).sum(axis=1, keepdims=True)) for x in (queries, rows)]
    queries, rows = (
        x / np.where(length > 0, length, 1)
        for x, length in zip((queries, rows), lengths, strict=True)
    )
    cosines = queries @ rows.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(cosines, order, axis=1)
    return np.where(best > 0, order, -1), np.maximum(best, 0)


def assert_nearest(found, queries, rows, k):
    """Cosines are those of the twin; ids may differ only among rows equally near."""
    ids, cosines = found
    _, expected = nearest_rows(queries, rows, k)
    assert_allclose(cosines, expected, atol=2e-6)
    assert_array_equal(cosines > 2e-6, expected > 2e-6)
    assert_array_equal(cosines > 0, ids >= 0)
    all_cosines = nearest_rows(queries, rows, len(rows))
    for i, row in enumerate(ids):
        of = dict(zip(*(a[i].tolist() for a in all_cosines), strict=True))
        assert_allclose([of.get(r, 0) for r in row.tolist()], expected[i], atol=2e-6)
        assert len(set(row[row >= 0])) == (row >= 0).sum()


def blended(ids, scores, voters, shares, Y, weight):
    """Scores of all candidates of one row, as a dict."""
    listed = ids >= 0
    votes = shares[voters >= 0] @ Y[voters[voters >= 0]]
    candidates = {label: scores[listed].min() for label in np.flatnonzero(votes)}
    candidates |= dict(zip(ids[listed].tolist(), scores[listed], strict=True))
    return {label: score + weight * votes[label] for label, score in candidates.items()}
