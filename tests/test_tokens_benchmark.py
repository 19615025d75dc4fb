"""The benchmark of hashing runs at a small size."""

import json


def test_all_ways_are_timed(module, tmp_path, capsys):
    path = tmp_path / "tokens.json"
    module("tokens").main(["--rows", "60", "--turns", "1", "--json", str(path)])
    results = json.loads(path.read_text())["results"]
    ways = {"FeatureHasher", "lists of str", "arrays of bytes"}
    assert {kind: set(times) for kind, times in results.items()} == {
        "shared": ways, "distinct": ways,
    }  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_rows_are_as_told(module):
    tokens = module("tokens")
    rng = tokens.np.random.default_rng(0)
    for rows in (tokens.shared(30, rng), tokens.distinct(30, rng)):
        assert [len(row) for row in rows] == [50] * 30
        assert {len(token) for row in rows for token in row} == set(range(5, 13))
    assert len({id(token) for row in rows for token in row}) == 1500
