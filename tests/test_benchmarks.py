"""The benchmarks' own code: converters on miniatures, the runner on a tiny data set."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklsh._auto import rows_per_step

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def converted(module, kind, source):
    """What the converter writes, as dense matrices."""
    out = source / "out"
    module("convert_xmc").main([kind, str(source), str(out)])
    names = ("X_train", "Y_train", "X_test", "Y_test")
    return [sp.load_npz(out / f"{name}.npz").toarray() for name in names]


ARFF = """\
% words, then tags
@relation tiny
@attribute 'a word' {0,1}
@attribute TAG_x {0,1}
@ATTRIBUTE year numeric
@attribute TAG_y {0,1}

@data
"""
MULAN_HEADER = """\
<?xml version="1.0" encoding="utf-8"?>
<labels xmlns="http://mulan.sourceforge.net/labels">
<label name="TAG_x"></label><label name="TAG_y"></label>
</labels>
"""


def test_mulan_sparse_and_dense_rows(module, tmp_path):
    (tmp_path / "tiny.xml").write_text(MULAN_HEADER)
    (tmp_path / "tiny-train.arff").write_text(ARFF + "{0 1,1 1}\n{ 2 1, 3 1 }\n{}\n")
    (tmp_path / "tiny-test.arff").write_text(ARFF + "1,0,1,1\n0,1,0,0\n")
    X, Y, X_test, Y_test = converted(module, "mulan", tmp_path)
    np.testing.assert_array_equal(X, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(Y, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(X_test, [[1, 1], [0, 0]])
    np.testing.assert_array_equal(Y_test, [[0, 1], [1, 0]])


def test_citeulike_split_and_rare_tags(module, tmp_path):
    n = 50
    words = ["2 0:300 3:1"] + [f"1 {i % 3}:{i + 1}" for i in range(1, n)]
    (tmp_path / "mult.dat").write_text("\n".join([*words[:-1], "0"]) + "\n")  # the last is empty
    tags = [range(n), [5], range(0, n, 2)]  # the second has at most 1 training row
    lines = [" ".join(map(str, [len(tag), *tag])) for tag in tags]
    (tmp_path / "tag-item.dat").write_text("\n".join(lines) + "\n")
    X, Y, X_test, Y_test = converted(module, "citeulike", tmp_path)
    assert len(X) + len(X_test) == n - 1 and len(X_test) in (9, 10)
    assert X.shape[1] == 4 and Y.shape[1] == Y_test.shape[1] == 2
    both = np.vstack([X, X_test])
    labels = np.vstack([Y, Y_test])
    assert both.max() == 300  # more than a byte holds
    paper = both.max(axis=1) - 1  # a count tells which paper a row is
    first = both[:, 3] == 1
    np.testing.assert_array_equal(labels[~first, 0], 1)
    np.testing.assert_array_equal(labels[~first, 1], (paper[~first] % 2 == 0).astype(int))


def test_annif_files_inverted(module, tmp_path):
    convert = module("convert_xmc")
    texts = [f"alpha beta record{'abcdefghijklmnopqrstuvwxyz'[i]}" for i in range(26)]
    for name, titles in {"p1": texts, "p2": texts, "p3": texts[:1]}.items():
        lines = [f"http://uri/{name} name", "name", *titles, "seen once only in " + name]
        (tmp_path / f"{name}-en.txt").write_text("\n".join(lines) + "\n")
    X, Y, X_test, Y_test = converted(module, "annif", tmp_path)
    n_test = sum(map(convert.in_test, texts))
    assert 0 < n_test < 26
    assert (len(X), len(X_test)) == (26 - n_test, n_test)
    # subject p3 and the words that stand in one row each are too rare
    assert (X == 1).all() and X.shape[1] == X_test.shape[1] == 2
    assert (Y == 1).all() and Y.shape[1] == Y_test.shape[1] == 2


XMC_TRAIN = "4 3 2\n0,1 0:0.5 2:1.25\n1 1:2\n 0:1\n0 2:3\n"
XMC_TEST = "1 3 2\n1 0:1\n"


def test_xmc_text_converted_and_read_as_it_is(module, tmp_path):
    (tmp_path / "train.txt").write_text(XMC_TRAIN)
    (tmp_path / "test.txt").write_text(XMC_TEST)
    X, Y, X_test, Y_test = converted(module, "xmc", tmp_path)
    np.testing.assert_array_equal(X, [[0.5, 0, 1.25], [0, 2, 0], [1, 0, 0], [0, 0, 3]])
    np.testing.assert_array_equal(Y, [[1, 1], [0, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(X_test, [[1, 0, 0]])
    np.testing.assert_array_equal(Y_test, [[0, 1]])
    for matrix, dense in zip(module("xmc").read(tmp_path), (X, X_test, Y, Y_test), strict=True):
        np.testing.assert_array_equal(matrix.toarray(), dense)


@pytest.mark.slow  # four processes
def test_a_run_replaces_its_own_row_or_is_left_out(module, tiny, tmp_path, monkeypatch, capsys):
    xmc = module("xmc")
    kept = tmp_path / "kept.json"
    command = ["xmc.py", "--data", str(tiny), "--json", str(kept), "--epochs", "3"]
    command += ["--systems", "sklsh", "sklsh-uniform", "--seeds"]
    times = {}
    for rest in (["1"], ["1"], ["2", "--missing"]):
        monkeypatch.setattr(sys, "argv", [*command, *rest])
        xmc.main()
        runs = json.loads(kept.read_text())["runs"]
        times[" ".join(rest)] = [r["fit_wall_s"] for r in runs]
    printed = capsys.readouterr().out
    assert "nothing is sampled" in printed
    assert [(r["system"], r["seed"], r["epochs"]) for r in runs] == [
        ("sklsh", 0, 3), ("sklsh", 1, 3)
    ]  # fmt: skip
    assert times["2 --missing"][:1] == times["1"]  # the first was not run again
    for r in runs:
        assert r["P@1"] == r["nDCG@5"] == r["PSP@3"] == 100 and r["P@5"] == 20
        assert r["n_labels"] == 12 and r["model_mb"] > 0.02 and r["peak_mb"] > 20
        assert r["versions"]["sklsh"]
    assert printed.count("| sklsh, defaults, 3 epochs | 100.0 | 33.3 | 20.0 |") >= 3


def test_what_is_not_installed_or_fails_is_told(module, tiny, tmp_path, capsys):
    xmc = module("xmc")
    data = xmc.prepare(tiny, tmp_path / "scratch")
    (wanted,) = xmc.runs("tiny", ["pecos"], epochs=1, seeds=1)  # pecos wants NumPy below 2
    assert xmc.run(wanted, data, sys.executable, tmp_path) is None
    assert "pip install libpecos" in capsys.readouterr().out
    gone = dataclasses.replace(data, folder=tmp_path / "nowhere")
    (wanted,) = xmc.runs("tiny", ["sklsh"], epochs=1, seeds=1)
    assert xmc.run(wanted, gone, sys.executable, tmp_path) is None
    assert "failed" in capsys.readouterr().out


def test_blend_tells_what_its_weight_has_cost(module, tiny, tmp_path):
    model = module("systems.blend").Model(seed=0, folder=tmp_path, epochs=1)
    X, Y = (sp.load_npz(tiny / f"{name}_train.npz") for name in "XY")
    model.fit(*model.fit_input(X, Y))
    parts = model.fit_parts(1000)
    assert parts["weight"] == model.classifier.weight_
    assert parts["search_cpu_s"] == 1000 - model.classifier.estimator_.fit_cpu_s_ < 1000
    assert model.predict(model.rows(X), 5).shape == (200, 5)
    model.save()
    assert (tmp_path / "model.joblib").stat().st_size > 0


@pytest.mark.parametrize("width", [None, 8])
def test_neighbours_are_found(module, tiny, width, monkeypatch, capsys):
    for seed, name in enumerate(("train", "test")):
        rows = sp.random(200, 12, density=0.5, format="csr", random_state=seed)
        sp.save_npz(tiny / f"X_{name}.npz", rows)
    command = ["neighbors.py", "--data", str(tiny), "--tables", "64,16", "1,1"]
    monkeypatch.setattr(sys, "argv", command + (["--dense", str(width)] if width else []))
    module("neighbors").main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"tiny: 200 rows of {width or 12} features"
    found = [float(line.split("found ")[1].split(",")[0]) for line in lines[1:]]
    assert found[0] == 1 >= found[1] > found[2]


def test_counts_become_tfidf_and_other_values_unit_rows(module):
    xmc = module("xmc")
    X = sp.csr_matrix(np.array([[1, 2, 0], [0, 4, 1]], dtype=np.float32))
    for values in (X, X * 0.3):
        scaled, test = xmc.scaled(values, values)
        np.testing.assert_allclose(np.sqrt(scaled.multiply(scaled).sum(axis=1)), 1, rtol=1e-6)
        assert (scaled != test).nnz == 0
    weights = xmc.scaled(X, X)[0].toarray()
    assert weights[0, 1] / weights[0, 0] < 2 * 0.9  # 1 + log 2, and its word is common
    scaled = xmc.scaled(X * 0.3, X)[0].toarray()
    np.testing.assert_allclose(scaled[0], np.array([1, 2, 0]) / np.sqrt(5), rtol=1e-6)


def test_pytorch_takes_the_batch_size_of_the_classifier(module):
    batch_size = module("systems").batch_size
    for n in (1, 100, 4880, 12920, 20750, 309945, 10**7):
        assert min(batch_size(n), n) == rows_per_step("auto", n)


def test_tables_put_the_best_first_and_average_seeds(module):
    figures = dict.fromkeys(["P@3", "P@5", "PSP@1", "PSP@5"], 20.04)
    figures |= {"fit_cpu_s": 1234.5, "predict_cpu_ms_per_row": 0.01234, "model_mb": 9.87}
    figures |= {"data": "tiny", "n_rows": 1000, "n_features": 10, "n_labels": 3, "peak_mb": 99.5}
    runs = [
        {"system": system, "title": system.upper(), "epochs": epochs, "P@1": p1} | figures
        for system, epochs, p1 in [
            ("a", None, 40),
            ("a", None, 41.5),
            ("b", None, 50),
            ("a", 2, 45),
        ]
    ]
    lines = module("results").xmc_tables(runs)
    assert lines[0] == "**tiny**: 1,000 rows, 10 features, 3 labels"
    rest = "20.0 | 20.0 | 20.0 | 20.0 | 1,234 | 0.012 | 9.9 | 100 |"
    assert lines[4:] == [
        f"| B | 50.0 | {rest}", f"| A, 2 epochs | 45.0 | {rest}", f"| A | 40.8 (1.5) | {rest}"
    ]  # fmt: skip


def run_script(name, *args):
    """Standard output of a benchmark in a process of its own."""
    command = [sys.executable, str(BENCHMARKS / name), *args]
    root = BENCHMARKS.parent
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_training_out_of_core_at_a_small_size():
    size = ["--gigabytes", "0.003", "--features", "3000", "--classes", "2500"]
    assert "P@1" in run_script("out_of_core.py", *size)


@pytest.mark.slow
def test_width_at_a_small_size(module, tmp_path):
    pytest.importorskip("torch")
    kept = tmp_path / "kept.json"
    size = ["--rows", "2000", "--features", "3000", "--classes", "2500"]
    out = run_script("width.py", *size, "--stretch", "2", "--json", str(kept))
    run = json.loads(kept.read_text())
    names = list(module("systems.stepped").USUAL)
    assert [r["name"] for r in run["results"]] == names
    for r in run["results"]:
        assert r["system"] in out and r["CPU us"] > 0
        assert ("P@1" in r) == ("peak MB" in r) == ("full" not in r["name"])
        assert ("of bound" in r) == ("pytorch" not in r["name"])
    assert run["results"][0]["x PyTorch"] == 1
    assert len(module("results").width_table(run)) == 4 + len(names) + 2


@pytest.mark.slow
def test_threads_take_turns_with_one():
    size = ["--rows", "1000", "--features", "3000", "--classes", "2500", "--systems", "uniform"]
    out = run_script("width.py", *size, "--stretch", "1", "--threads", "2")
    assert "speed-up" in out and "sklsh, uniform, 2 threads" in out


@pytest.mark.slow
def test_profile_at_a_small_size(tmp_path):
    kept = tmp_path / "kept.json"
    size = ["--rows", "2000", "--features", "3000", "--classes", "2500"]
    out = run_script("profile_step.py", *size, "--json", str(kept))
    assert "sklsh, uniform" in out and "sklsh, lsh" in out
    for parts in json.loads(kept.read_text())["results"].values():
        whole = parts.pop("all")
        assert sum(part["us"] for part in parts.values()) == pytest.approx(whole["us"])
        assert sum(part["bound"] for part in parts.values()) == pytest.approx(whole["bound"])
        assert all(part["us"] > 0 for part in parts.values())
    assert "rank hits" in parts  # the last is lsh


def test_every_kernel_does_what_numpy_does(module):
    kernels, roofline = module("kernels"), module("roofline")
    machine = roofline.Machine({"float32": 100}, read=10, rewrite=20)
    sizes = kernels.Sizes(300, 400, batch=20, width=32, candidates=48, hits=5, n_turns=2)
    results = []
    for name, make in kernels.KERNELS.items():
        case = make(sizes, np.random.default_rng(0))
        results.append(kernels.measure(name, case, machine, repeats=2))
        assert results[-1]["us"] > 0 and results[-1]["of bound"] >= 0
        assert kernels.line(results[-1]).startswith(name)
    run = {"results": results, "measured": dataclasses.asdict(machine), "command": "python"}
    table = module("results").kernels_table(run | {"machine": {"cpu": "a CPU"}})
    assert len(table) == 2 + len(results) + 2
    case = kernels.KERNELS["top 5"](sizes, np.random.default_rng(0))
    case.rival = lambda i: case.ours(i) + 1
    with pytest.raises(AssertionError, match="something else"):
        kernels.check("top 5", case)


def test_a_timer_gives_inner_functions_their_own_time(module, monkeypatch):
    profile = module("profile_step")
    clock = iter(range(100))
    monkeypatch.setattr(profile.time, "thread_time", lambda: next(clock))
    before = statistics.fmean, statistics.fsum  # the first calls the second
    timer = profile.Timer()
    with timer.timing({"outer": (["statistics.fmean"], []), "inner": (["statistics.fsum"], [])}):
        assert statistics.fmean([1.0, 2.0]) == 1.5
    assert timer.seconds == {"outer": 2, "inner": 1}
    with pytest.raises(AttributeError, match="renamed"):
        with timer.timing({"outer": (["statistics.fmean", "statistics.renamed"], [])}):
            pass
    assert (statistics.fmean, statistics.fsum) == before


def test_turns_are_stretches_of_whole_batches(module):
    turns = module("turns")
    log = []

    def train(name, n):
        def steps(pause):
            for i in range(n):
                pause()
                log.append(f"{name}{i}")

        return steps

    a = turns.Turn(train("a", 5), 47, 10, 2)
    b = turns.Turn(train("b", 2), 20, 10, 1)
    for turn in (a, b, a, b, a):
        turn.go_on()
    assert log == "a0 a1 b0 a2 a3 b1 a4".split()
    assert [rows for rows, _, _ in a.stretches] == [20, 20, 7]
    assert [rows for rows, _, _ in b.stretches] == [10, 10]
    assert a.ended and b.ended

    def fails(pause):
        pause()
        raise OSError("disk")

    failing = turns.Turn(fails, 10, 10, 1)
    with pytest.raises(OSError, match="disk"):
        failing.go_on()
    with pytest.raises(RuntimeError, match="without a batch"):
        turns.Turn(lambda pause: None, 10, 10, 1)


def test_bound_of_a_step(module):
    roofline = module("roofline")
    machine = roofline.Machine({"float32": 100, "int8": 400}, read=10, rewrite=20)
    step = roofline.Step(rows=100, entries=1000, features=500, candidates=50, width=16)
    bounds = step.bounds(machine)
    assert bounds["logits"] == pytest.approx(2 * 100 * 50 * 16 / 100e9 * 1e6 / 100)
    assert bounds["gather"] == pytest.approx(50 * 16 * 4 / 10e9 * 1e6 / 100)
    assert bounds["output update"] == pytest.approx(50 * 16 * 12 * 2 / 20e9 * 1e6 / 100)
    assert bounds["embedding update"] == pytest.approx(10 * bounds["output update"])
    narrow = dataclasses.replace(step, precision="int8").bounds(machine)
    assert narrow["logits"] == pytest.approx(bounds["logits"] / 4)
    assert narrow["softmax"] == bounds["softmax"]


@pytest.mark.slow
def test_predict_at_a_small_size():
    pytest.importorskip("torch")
    size = ["--rows", "3000", "--features", "3000", "--classes", "2500", "--turns", "1"]
    out = run_script("predict.py", *size, "--rivals-python", sys.executable)
    assert "sklsh, exact  cpu_us_per_row" in out and "PyTorch, 256 rows" in out
    assert "sklsh, lsh, 8 tables of 24" in out and "no pecos" in out


def test_table_of_predictions_has_a_line_for_each_way(module):
    way = {"classes": 131_072, "cpu_us_per_row": 2345.6, "wall_us_per_row": 2346.0, "recall@5": 1,
           "P@1": 0.25}  # fmt: skip
    run = {"data": "D", "setting": "S", "command": "C", "machine": {"cpu": "M"}, "results": [
        way | {"system": "PyTorch, 16 rows"},
        way | {"system": "sklsh, exact", "torch_over_this": 4.16, "recall@5": 0.98765},
        {"classes": 9000, "system": "PECOS", "cpu_us_per_row": 400.2, "P@1": 0.5},
    ]}  # fmt: skip
    assert module("results").predict_table(run)[4:] == [
        "| 131,072 | PyTorch, 16 rows | 2,346 |  | 1.000 | 0.250 |",
        "| 131,072 | sklsh, exact | 2,346 | 4.2 | 0.988 | 0.250 |",
        "| 9,000 | PECOS | 400 |  |  | 0.500 |",
        "", "From `C`, M.",
    ]  # fmt: skip


def test_table_of_negatives_means_over_the_seeds(module):
    curves = {"lsh": [(3, 0.4), (4, 0.5)], "uniform": [(3, 0.2), (4, 0.25)]}
    run = {"data": "D", "setting": "S", "command": "C", "machine": {"cpu": "M"}, "results": [
        {"sampler": name, "seed": seed, "cpu_us_per_row": 40 + 10 * seed,
         "curve": [(s, p1 + 0.1 * seed) for s, p1 in curve]}
        for seed in (0, 1) for name, curve in curves.items()
    ]}  # fmt: skip
    assert module("results").negatives_table(run)[4:] == [
        "| lsh | 45 | 0.550 (spread 0.100) |", "| uniform | 45 | 0.300 (spread 0.100) |",
        "", "From `C`, M.",
    ]  # fmt: skip


@pytest.mark.slow
def test_negatives_at_a_small_size():
    size = ["--rows", "600", "--test-rows", "100", "--features", "3000", "--classes", "2500"]
    samplers = ["lsh", "first come", "uniform", "in-batch", "exact", "full"]
    out = run_script(
        "negatives.py", *size, "--seeds", "1", "--negatives", "300", "--checkpoints", "2",
        "--samplers", *samplers,
    )  # fmt: skip
    assert [line.split(" seed")[0].strip() for line in out.splitlines()] == samplers
