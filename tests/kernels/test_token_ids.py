"""Hashes of tokens: against a twin, their quality, and the arrays that carry texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import mix

from sklsh._kernels import _token_ids, _tokens

MASK = 2**64 - 1


def token_id(text, seed):
    """The id of a token, in Python's integers."""
    first_key = mix(seed)
    state = (mix(first_key) + len(text)) & MASK
    for start in range(0, len(text), 16):
        one, two = (
            int.from_bytes(word.rjust(8, b"\0"), "little")
            for word in (text[start : start + 8], text[start + 8 : start + 16])
        )
        product = (one ^ first_key) * (two ^ state)
        state = (product >> 64) ^ (product & MASK)
    return min(mix(state) >> 1, 2**63 - 2)


def ids_of(tokens, seed=0, n_threads=1):
    arena = _tokens.TokenArena(False, 1)
    arena.add_rows([list(tokens)], None)
    chars, offsets, _, _ = arena.finish()
    ids = np.empty(len(offsets) - 1, dtype=np.int64)
    _token_ids.hash_tokens(chars, offsets, seed, ids, n_threads)
    return ids


def bits_of(ids):
    return np.unpackbits(ids.astype(">i8").view(np.uint8)).reshape(len(ids), 64)[:, 1:]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=70), min_size=1), st.integers(0, MASK))
def test_ids_match_twin(tokens, seed):
    assert ids_of(tokens, seed).tolist() == [token_id(text, seed) for text in tokens]


def test_every_length_matches_twin():
    tokens = [bytes(range(1, n + 1)) for n in range(100)]
    assert ids_of(tokens, 3).tolist() == [token_id(text, 3) for text in tokens]


def test_threads_and_neighbours_change_nothing(n_threads):
    tokens = [f"token {i}" * (i % 5) for i in range(20_000)]
    expected = [int(ids_of([token])[0]) for token in tokens[:100]]
    ids = ids_of(tokens, n_threads=n_threads)
    np.testing.assert_array_equal(ids[:100], expected)
    np.testing.assert_array_equal(ids, ids_of(tokens))


def test_a_million_short_tokens_do_not_collide():
    tokens = [str(i) for i in range(600_000)]
    letters = "abcdefghijklmnopqrst"
    tokens += [a + b + c + d for a in letters for b in letters for c in letters for d in letters]
    tokens += [f"user_id={i:09d}_of_the_site" for i in range(300_000)]
    ids = ids_of(tokens)
    assert len(np.unique(ids)) == len(tokens) == 1_060_000
    assert ids.min() >= 0
    # Any 20 bits of the ids fill as many bins as uniform draws do: 1 - exp(-load).
    for shift in (0, 10, 21, 43):
        filled = np.count_nonzero(np.bincount(ids >> shift & (2**20 - 1))) / 2**20
        assert filled == pytest.approx(1 - np.exp(-len(ids) / 2**20), abs=0.002)


def test_a_flipped_bit_flips_half_the_bits():
    rng = np.random.default_rng(0)
    for length in (3, 4, 8, 9, 16, 17, 40):
        texts = rng.integers(0, 256, (400, length), dtype=np.uint8)
        for bit in rng.choice(8 * length, 8, replace=False):
            flipped = texts.copy()
            flipped[:, bit // 8] ^= np.uint8(1 << (bit % 8))
            one, other = (ids_of([row.tobytes() for row in part]) for part in (texts, flipped))
            rate = (bits_of(one) != bits_of(other)).mean(axis=0)
            assert rate.mean() == pytest.approx(0.5, abs=0.03)
            assert np.abs(rate - 0.5).max() < 0.15  # six standard deviations


def test_zeros_count():
    tokens = [b"\0" * n for n in range(40)] + [b"a" + b"\0" * n for n in range(40)]
    tokens += [b"\0" * n + b"a" for n in range(1, 40)]
    assert len(np.unique(ids_of(tokens))) == len(tokens)


def test_seeds_give_unrelated_ids():
    tokens = [str(i) for i in range(5000)]
    one, other = ids_of(tokens, 0), ids_of(tokens, 1)
    assert (bits_of(one) != bits_of(other)).mean() == pytest.approx(0.5, abs=0.01)
    assert ids_of(tokens, MASK).min() >= 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30), unique=True))
def test_first_entries(ids, wanted):
    first = np.full(len(wanted), -1, dtype=np.intp)
    places = np.full(1 << (2 * len(wanted)).bit_length(), -1, dtype=np.intp)
    _token_ids.first_entries(
        np.array(ids, dtype=np.int64), np.array(wanted, dtype=np.int64), places, first
    )
    assert first.tolist() == [ids.index(id) if id in ids else -1 for id in wanted]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 50)))
def test_match_sorted(ids, among):
    ids, among = sorted(ids), sorted(among)
    places = np.empty(len(ids), dtype=np.intp)
    _token_ids.match_sorted(np.array(ids, dtype=np.int64), np.array(among, dtype=np.int64), places)
    assert places.tolist() == [among.index(id) if id in among else -1 for id in ids]


def test_wrong_sizes():
    chars, offsets, ids = np.zeros(20, np.uint8), np.array([0, 4]), np.empty(1, np.int64)
    _token_ids.hash_tokens(chars, offsets, 0, ids, 1)
    with pytest.raises(ValueError, match="arena"):
        _token_ids.hash_tokens(chars[:19], offsets, 0, ids, 1)
    with pytest.raises(ValueError, match="arena"):
        _token_ids.hash_tokens(chars, offsets, 0, np.empty(2, np.int64), 1)
    with pytest.raises(ValueError, match="power of two"):
        _token_ids.first_entries(ids, ids, np.full(3, -1), np.full(1, -1))
