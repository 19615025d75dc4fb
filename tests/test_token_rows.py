"""Rows of tokens as FeatureHasher takes them, and the names of ids that are kept."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.feature_extraction import FeatureHasher

from sklsh._tokens import N_COLUMNS, TokenNames, hash_rows

TOKENS = st.text(st.characters(codec="utf-8"), max_size=20) | st.binary(max_size=20)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VALUES = st.one_of(NUMBERS, st.booleans(), st.integers(-9, 9), st.text("abé", max_size=3))


def utf8(token):
    return token.encode() if isinstance(token, str) else token


def summed(rows):
    """Sums of values by the bytes of tokens, of each row."""
    texts = [utf8(text) for text in rows.text(range(len(rows.X.indices)))]
    sums = []
    for start, end in zip(rows.X.indptr, rows.X.indptr[1:], strict=False):
        sums.append({})
        for text, value in zip(texts[start:end], rows.X.data[start:end], strict=True):
            sums[-1][text] = sums[-1].get(text, 0) + value
    return sums


def dense(rows, tokens):
    """X with a column for each token, in the order of their ids, and that order."""
    ids, order = np.unique(hash_rows([tokens]).X.indices, return_index=True)
    columns = np.searchsorted(ids, rows.X.indices)
    X = csr_array((rows.X.data, columns, rows.X.indptr), shape=(rows.X.shape[0], len(ids)))
    return X.toarray(), [tokens[i] for i in order]


def test_rows_of_strings():
    rows = hash_rows([["to", "be", "to"], [], ("b\xe9", b"be"), iter(["\u6f22"]), {"x": 1}])
    X = rows.X
    assert X.shape == (5, N_COLUMNS)
    assert (X.dtype, X.indices.dtype, X.indptr.dtype) == (np.float32, np.int64, np.int64)
    X.check_format(full_check=True)
    assert X.indptr.tolist() == [0, 3, 3, 5, 6, 7]
    assert X.data.tolist() == [1] * 7
    assert rows.text(range(7)) == ["to", "be", "to", "b\xe9", "be", "\u6f22", "x"]
    assert rows.text([]) == []
    assert X.indices[1] == X.indices[4]
    assert len(set(X.indices.tolist())) == 5


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(TOKENS, max_size=6), min_size=1, max_size=6), st.booleans())
def test_every_form_of_a_row_gives_the_same_ids(rows, as_generator):
    expected = hash_rows([[utf8(token) for token in row] for row in rows]).X
    forms = (list, tuple, iter, lambda row: np.array(row, dtype=object))
    for form in forms:
        raw_X = (form(row) for row in rows)
        X = hash_rows(raw_X if as_generator else list(raw_X)).X
        np.testing.assert_array_equal(X.indices, expected.indices)
        np.testing.assert_array_equal(X.indptr, expected.indptr)


@pytest.mark.parametrize("dtype", ["S1", "S4", "S16", "S23", "U1", "U4", "<U23", ">U23", "S0"])
def test_arrays_of_fixed_width(dtype):
    words = ["a", "b\0c", "\u6f22", "abcdefghijklmnopqrstuvw", "", "\U0001f600\x7f\x80", "xyz"]
    if dtype.startswith("S"):
        words = [word.encode() for word in words]
    row = np.array(words).astype(dtype) if dtype != "S0" else np.zeros(3, dtype="S0")
    record = np.zeros(len(row), dtype=[("before", "u1"), ("token", row.dtype)])
    record["token"] = row
    expected = hash_rows([row.tolist(), [], row[::-2].tolist(), row.tolist()])
    rows = hash_rows([row, row[:0], row[::-2], record["token"]])
    np.testing.assert_array_equal(rows.X.indices, expected.X.indices)
    np.testing.assert_array_equal(rows.X.indptr, expected.X.indptr)
    entries = range(len(row))
    assert rows.text(entries) == expected.text(entries)


def test_two_dimensional_array_is_rows():
    rows = hash_rows(np.array([["a", "b"], ["c", "a"]]))
    assert rows.text(range(4)) == ["a", "b", "c", "a"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(TOKENS, VALUES, max_size=6), min_size=1, max_size=6))
def test_values_add_up_as_feature_hasher_has_them(rows):
    rows = [{utf8(k): v for k, v in row.items() if not isinstance(v, str)} for row in rows]
    tokens = sorted({token for row in rows for token in row})
    hasher = FeatureHasher(n_features=2**31 - 1, alternate_sign=False, dtype=np.float32)
    by_dict, by_pair = (
        hash_rows(raw_X, input_type=input_type)
        for input_type, raw_X in (("dict", rows), ("pair", [list(row.items()) for row in rows]))
    )
    np.testing.assert_array_equal(by_dict.X.indices, by_pair.X.indices)
    got, tokens = dense(by_dict, tokens)
    columns = [hasher.transform([{token: 1}]).indices[0] for token in tokens]
    if len(set(columns)) == len(columns):
        X = hasher.transform(rows)
        expected = np.array([[X[[i], [column]][0] for column in columns] for i in range(len(rows))])
        np.testing.assert_array_equal(got, expected.reshape(got.shape))


def test_strings_as_values():
    rows = hash_rows([{"city": "Graz", b"year": "1\xe9", "n": 2}], input_type="dict")
    assert rows.text(range(3)) == ["city=Graz", "year=1\xe9", "n"]
    assert rows.X.data.tolist() == [1, 1, 2]
    assert rows.X.indices[0] == hash_rows([["city=Graz"]]).X.indices[0]


def test_zeros_are_left_out_and_repeated_tokens_kept():
    pairs = [("a", 1), ("b", 0), ("c", False), ("d", 1e-60), ("a", -0.0), ["a", 2.5], ("e", True)]
    rows = hash_rows([pairs], input_type="pair")
    assert rows.text(range(3)) == ["a", "a", "e"]
    assert summed(rows) == [{b"a": 3.5, b"e": 1}]


def test_many_rows_of_very_different_sizes():
    rng = np.random.default_rng(0)
    raw_X = [[str(t) * int(rng.integers(1, 40)) for t in range(n)] for n in (1, 0, 20_000, 3, 900)]
    rows = hash_rows(raw_X, n_threads=2)
    assert rows.X.indptr.tolist() == [0, 1, 1, 20_001, 20_004, 20_904]
    assert rows.text(range(20_904)) == [token for row in raw_X for token in row]
    np.testing.assert_array_equal(rows.X.indices, hash_rows(iter(raw_X)).X.indices)


def test_a_list_that_is_used_again():
    def generated():
        row = []
        for i in range(100):
            row[:] = [f"{i}a", f"{i}\xe9"]
            yield row

    rows = hash_rows(generated())
    assert rows.text([0, 1, 198, 199]) == ["0a", "0\xe9", "99a", "99\xe9"]


def test_bytes_that_are_no_utf8_have_a_name():
    rows = hash_rows([[b"\xff\xfea", "\\"]])
    assert rows.text([0, 1]) == [r"\xff\xfea", "\\"]


class Unhappy:
    def __float__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "raw_X, input_type, error, message",
    [
        (["ab", "c"], "string", ValueError, "single string.*sample 0 is 'ab'"),
        ([["a"], b"ab"], "string", ValueError, "single string.*sample 1 is b'ab'"),
        ("ab", "string", ValueError, "single string"),
        (np.array(["ab"]), "string", ValueError, "single string"),
        (["ab"], "pair", ValueError, "single string"),
        ([["a"], ["b", 1]], "string", TypeError, "Token 1 of sample 1 must be a str or bytes.*int"),
        ([[("a", 1)]], "string", TypeError, "Token 0 of sample 0 must be a str"),
        ([[None]], "string", TypeError, "NoneType"),
        ([["a"], 3], "string", TypeError, "Sample 1 must be an iterable of tokens; got 3"),
        (3, "string", TypeError, "raw_X must be an iterable of samples"),
        ([], "string", ValueError, "at least one sample"),
        (iter([]), "dict", ValueError, "at least one sample"),
        ([["a", "b\ud800"]], "string", ValueError, r"Token 1 of sample 0, 'b\\ud800'.*surrogate"),
        ([np.array(["a", "\udfff"])], "string", ValueError, "Token 1 of sample 0.*0xdfff"),
        ([np.array([["a"]])], "string", ValueError, r"one dimension; got shape \(1, 1\)"),
        ([["ab"]], "pair", TypeError, "Token 0 of sample 0 must be a pair"),
        ([[("a", 1, 2)]], "pair", TypeError, "pair"),
        ([{"a": 1}, [("a", 1)]], "dict", TypeError, "Sample 1 must map tokens to values; got"),
        ([{"a": 1}, {3: 1}], "dict", TypeError, "Token 0 of sample 1 must be a str"),
        ([{"a": None}], "dict", TypeError, "value of token 0 of sample 0 must be a number.*None"),
        ([{"a": b"x"}], "dict", TypeError, "must be a number or a str.*bytes"),
        ([{"a": 1j}], "dict", TypeError, "complex"),
        ([{"a": np.nan}], "dict", ValueError, "finite in float32; got nan"),
        ([[("a", 1), ("b", -np.inf)]], "pair", ValueError, "token 1 of sample 0.*-inf"),
        ([{"a": 1e39}], "dict", ValueError, "finite in float32"),
        ([{"a": 10**400}], "dict", ValueError, "finite in float32"),
        ([{"a": "\ud800"}], "dict", ValueError, "surrogate"),
        ([{"a": Unhappy()}], "dict", RuntimeError, "no"),
        ([["a"]], "words", ValueError, "input_type must be one of"),
    ],
)
def test_wrong_input(raw_X, input_type, error, message):
    with pytest.raises(error, match=message):
        hash_rows(raw_X, input_type=input_type)


def test_errors_of_the_iterable_come_through():
    def broken():
        yield ["a"]
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        hash_rows(broken())

    def wrong_inside():
        yield "a" + 1

    with pytest.raises(TypeError, match="concatenate"):
        hash_rows([wrong_inside()])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_names_are_those_of_active_ids(data):
    """Chunk after chunk, against a dict that forgets as it should."""
    tokens = ["token" + "\xe9" * (i % 3) + str(i) for i in range(30)]
    id_of = dict(zip(tokens, hash_rows([tokens]).X.indices.tolist(), strict=True))
    names, expected = TokenNames(), {}
    for _ in range(4):
        row = data.draw(st.lists(st.sampled_from(tokens), min_size=1))
        active = [id_of[token] for token in data.draw(st.sets(st.sampled_from(tokens)))]
        assert names.update(np.array(active, dtype=np.int64), hash_rows([row])) is names
        seen = expected | {id_of[token]: token for token in row}
        expected = {id: text for id, text in seen.items() if id in active}
        asked = list(id_of.values())
        assert names.ids.tolist() == sorted(expected)
        assert names.names(asked).tolist() == [expected.get(id, f"x{id}") for id in asked]
    back = pickle.loads(pickle.dumps(names))
    assert back.names(asked).tolist() == names.names(asked).tolist()


def test_memory_of_names_is_that_of_the_active_ones():
    tokens = [f"{i:010d}" for i in range(50_000)]
    rows = hash_rows([tokens])
    ids = np.sort(rows.X.indices)
    names = TokenNames().update(ids, rows)
    assert 26 * 50_000 <= names.nbytes <= 26 * 50_000 + 100
    names.update(ids[::100], rows)
    assert 26 * 500 <= names.nbytes <= 26 * 500 + 100
    assert names.update(ids[:0], rows).nbytes <= 100


def test_the_first_of_two_texts_gives_the_name():
    rows = hash_rows([["first", "second"]])
    rows.X.indices[:] = 7  # as if their hashes were the same
    assert TokenNames().update(np.array([7]), rows).names([7]).tolist() == ["first"]


def test_names_keep_zeros_at_their_ends():
    rows = hash_rows([["a\0", "a", "\0"]])
    names = TokenNames().update(rows.X.indices, rows).names(rows.X.indices)
    assert names.tolist() == ["a\0", "a", "\0"]
    assert {type(name) for name in names} == {str}


def test_merged_names():
    rows = hash_rows([["a", "bb", "ccc", "dddd"]])
    a, b, c, d = rows.X.indices
    one, other = TokenNames().update([a, b], rows), TokenNames().update([b, d], rows)
    both = one.merged(other)
    assert both.names([a, b, c, d]).tolist() == ["a", "bb", f"x{c}", "dddd"]
    assert one.names([a, d]).tolist() == ["a", f"x{d}"]
    assert other.names([a, d]).tolist() == [f"x{a}", "dddd"]
    assert TokenNames().merged(one).names([a, b]).tolist() == ["a", "bb"]
    assert len(TokenNames().merged(TokenNames()).ids) == 0
