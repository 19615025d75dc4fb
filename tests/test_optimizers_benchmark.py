"""The benchmark of optimizers, on a miniature."""

import sys


def test_all_optimizers_take_their_turns(module, monkeypatch, capsys):
    benchmark = module("optimizers")
    sizes = {"classes": 1500, "features": 1200, "rows": 300, "test-rows": 50}
    sizes |= {"hidden": 16, "batch": 50, "stretch": 2, "negatives": 100}
    arguments = [word for name, n in sizes.items() for word in (f"--{name}", str(n))]
    monkeypatch.setattr(sys, "argv", ["optimizers.py", *arguments])
    benchmark.main()
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("1,500 labels, 300 rows")
    assert [line[:22].strip() for line in lines] == list(benchmark.SYSTEMS)
    states = [float(line.split()[-1]) for line in lines]
    assert states[0] > 3 * states[1] > 3 * states[2]
    own = [float(line.split()[-2]) for line in lines]
    assert all(0 < step < float(line.split()[-4]) for step, line in zip(own, lines, strict=True))
