"""Text of extreme multi-label rows: numbers rounded as they should, rows against a twin."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sklsh._kernels import _xmc_text

Problem = _xmc_text.Problem
LARGEST = np.finfo(np.float32).max
DIGITS = st.text("0123456789", max_size=30)
NUMBERS = st.builds(
    lambda sign, whole, part, exponent: f"{sign}{whole or '0'}.{part}e{exponent}",
    st.sampled_from(["", "-", "+"]), DIGITS, DIGITS, st.integers(-70, 70),
)  # fmt: skip
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def parsed(text):
    return _xmc_text.parse_float32(text.encode())


def check_number(text):
    expected = reference.float32_of(text)
    got = parsed(text)
    if np.isinf(expected):
        assert got is None
    else:
        assert np.float32(got).tobytes() == expected.tobytes()


def parse(text, n_classes=10, n_features=20, most_rows=None):
    """Rows as the twin gives them, and what else the kernel returns."""
    n = len(text)
    labels = np.full((n + 1) // 2, -1, np.int32)
    features, values = np.full((n + 1) // 4, -1, np.int32), np.full((n + 1) // 4, np.nan, "f4")
    label_ends, feature_ends = np.zeros((2, n if most_rows is None else most_rows), np.intp)
    n_rows, n_lines, place, problem = _xmc_text.parse_rows(
        text, n_classes, n_features, labels, label_ends, features, values, feature_ends
    )
    rows, a, c = [], 0, 0
    for b, d in zip(label_ends[:n_rows], feature_ends[:n_rows], strict=True):
        pairs = list(zip(features[c:d].tolist(), values[c:d].tolist(), strict=True))
        rows.append((labels[a:b].tolist(), pairs))
        a, c = b, d
    return rows, n_lines, place, problem


@settings(max_examples=500, deadline=None, derandomize=True)
@given(NUMBERS)
def test_numbers_are_rounded_to_nearest(text):
    check_number(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(FLOATS, st.sampled_from(["%.9g", "%.17g", "%r", "%.8e"]))
def test_float32_comes_back(value, form):
    check_number(form % value)
    assert np.float32(parsed(form % value)).tobytes() == np.float32(value).tobytes()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(FLOATS.filter(lambda x: 0 <= x < LARGEST), st.integers(-40, 40))
def test_ties_go_to_even_and_anything_beside_them_to_its_side(value, beside):
    low = np.float32(value)
    high = np.nextafter(low, np.float32(np.inf))
    middle = (Fraction(float(low)) + Fraction(float(high))) / 2
    digits = f"{Decimal(middle.numerator) / Decimal(middle.denominator):.60e}"
    exact = f"{Decimal(float(low)) + (Decimal(float(high)) - Decimal(float(low))) / 2}"
    for text in (digits, exact, f"{Decimal(exact) * (1 + Decimal(beside).scaleb(-25)):.80e}"):
        check_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "16777217", "16777219", "16777217.0000000000000000000000000000001", "33554433e0",
        "16777216.9999999999999999999999999999999", "3.4028235e38", "3.40282346638528859811e38",
        "3.4028235677973366e38", "3.4028235677973367e38", "340282356779733661637539395458142568447",
        "340282356779733661637539395458142568448", "1e38", "1e39", "9e999999999999999999999",
        "1.4e-45", "7.006492321624085e-46", "7.006492321624086e-46", "1.1754943508222875e-38",
        "1.17549429e-38", "1.1754942807573643e-38", "0e999999999999999999999", "-0", "-0.0e5",
        "1e-999999999999999999999", "." + "0" * 300 + "1e301", "1" + "0" * 300 + "e-300",
        "0" * 400 + "7", "123456789012345678901234567890e-20", "5.", ".5", "1E+2", "1e-0",
    ],
)  # fmt: skip
def test_numbers_at_the_edges(text):
    if "999999999" in text and "e" in text and "." not in text:  # too long for a fraction
        assert parsed(text) == (None if text.startswith("9") else 0)
    else:
        check_number(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "-", "e5", "1e", "1e+", "--1", "1..2", "1.2.3", "nan", "inf", "-Infinity",
     "0x10", "1_000", "1,5", "1 ", " 1", "1f", "1e5.5", "١", "\0", "1\0"],
)  # fmt: skip
def test_what_is_no_number(text):
    assert parsed(text) is None


def test_every_digit_counts():
    digits = "16777217." + "0" * 300_000
    assert parsed(digits) == 16777216
    assert parsed(digits + "1") == 16777218


def test_rows_as_written():
    text = b"0,2 1:0.5 4:1.25\n 0:-2\r\n\n7\n \n9\t19:1e-3\t \n3 2:1"
    rows, n_lines, place, problem = parse(text)
    assert rows == [
        ([0, 2], [(1, 0.5), (4, 1.25)]), ([], [(0, -2.0)]), ([7], []), ([], []),
        ([9], [(19, float(np.float32(1e-3)))]), ([3], [(2, 1.0)]),
    ]  # fmt: skip
    assert (n_lines, place, problem) == (7, len(text), Problem.NOTHING)


@pytest.mark.parametrize("text", [b"1 1:1\n\n2 2:2\n3 3:3\n", b"1 1:1\n\r\n2 2:2\r\n3 3:3"])
@pytest.mark.parametrize("most_rows", [0, 1, 2, 3, 9])
def test_parsing_stops_behind_a_row_and_can_go_on(text, most_rows):
    rows, n_lines, place, problem = parse(text, most_rows=most_rows)
    assert rows == parse(text)[0][:most_rows]
    assert text[:place].count(b"\n") == n_lines or place == len(text)
    assert rows + parse(text[place:])[0] == parse(text)[0]


@pytest.mark.parametrize(
    "line, problem, place",
    [
        (b"1,,2 1:1", Problem.LABEL, 2),
        (b"1, 1:1", Problem.LABEL, 2),
        (b",1 1:1", Problem.LABEL, 0),
        (b"10 1:1", Problem.LABEL, 0),
        (b"1:1 2:1", Problem.LABEL, 0),
        (b"1.0 2:1", Problem.LABEL, 0),
        (b"\xff", Problem.LABEL, 0),
        (b"\r\r", Problem.LABEL, 0),
        (b"99999999999999999999999999 1:1", Problem.LABEL, 0),
        (b"1 20:1", Problem.FEATURE, 2),
        (b"1 -1:1", Problem.FEATURE, 2),
        (b"1 5", Problem.FEATURE, 2),
        (b"1 5 :1", Problem.FEATURE, 2),
        (b"1 1:1 :1", Problem.FEATURE, 6),
        (b"1 4294967297:1", Problem.FEATURE, 2),
        (b"1 1:", Problem.VALUE, 2),
        (b"1 1: 1", Problem.VALUE, 2),
        (b"1 1:nan", Problem.VALUE, 2),
        (b"1 1:1e39", Problem.VALUE, 2),
        (b"1 1:1:1", Problem.VALUE, 2),
        (b"1 1:1\x002:1", Problem.VALUE, 2),
    ],
)
def test_malformed_rows_are_told_with_their_place(line, problem, place):
    before = b"0 0:1\n\n"
    rows, n_lines, at, got = parse(before + line + b"\n3 3:3\n")
    assert (rows, n_lines, at, got) == ([([0], [(0, 1.0)])], 3, len(before) + place, problem)


TOKENS = st.sampled_from(
    ["0", "3", "9", "10", ",", " ", "\t", ":", ".", "1:2", " 7:.5", "\n", "\r\n", "-", "e2",
     "x", "\r"]
)  # fmt: skip


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.lists(TOKENS, max_size=14).map("".join))
def test_rows_equal_those_of_the_twin(text):
    try:
        expected = reference.xmc_rows(text, 10, 20)
    except (ValueError, TypeError):
        assert parse(text.encode())[3] != Problem.NOTHING
    else:
        rows, _, place, problem = parse(text.encode())
        assert (rows, place, problem) == (expected, len(text), Problem.NOTHING)


@pytest.mark.parametrize("short", ["labels", "features", "values", "feature_ends"])
def test_outputs_that_could_overflow_are_refused(short):
    sizes = {"labels": 10, "label_ends": 5, "features": 5, "values": 5, "feature_ends": 5}
    sizes[short] -= 1
    types = {"labels": "i4", "features": "i4", "values": "f4"}
    outputs = [np.zeros(size, types.get(name, np.intp)) for name, size in sizes.items()]
    with pytest.raises(ValueError, match="too small"):
        _xmc_text.parse_rows(b"1 1:1\n2 1:1\n3 1:1 2", 10, 10, *outputs)


@pytest.mark.parametrize("sizes", [(2**31, 5), (5, 2**31), (-1, 5)])
def test_columns_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="columns"):
        parse(b"1 1:1\n", *sizes)


@pytest.mark.parametrize("text", [b"0", b"0 0:0", b"0,0,0,0", b" 0:0 0:0 0:0", b"0\n0\n0"])
def test_outputs_of_the_stated_sizes_are_enough_for_the_densest_text(text):
    rows, _, place, problem = parse(text)
    assert (place, problem) == (len(text), Problem.NOTHING)
    assert len(rows) == text.count(b"\n") + 1
