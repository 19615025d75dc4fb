"""Reads and k-mers of genomes, texts, and curves of accuracy over the number of features."""

import gzip
import json
import sys

import numpy as np
import pytest


def strings(reads):
    """Codes as letters."""
    return ["".join("ACGTN"[base] for base in read) for read in reads]


def reverse_complement(text):
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def fasta(path, *records, opener=open):
    with opener(path, "wt") as file:
        for i, record in enumerate(records):
            lines = "\n".join(record[j : j + 7] for j in range(0, len(record), 7))
            file.write(f">contig {i} of > many\n{lines}\n")
    return path


def test_contigs_of_a_fasta_file(module, tmp_path):
    reads = module("genome_reads")
    records = "ACGTacgtN", "RGATTACA"
    for name, opener in {"a.fna": open, "a.fna.gz": gzip.open}.items():
        path = fasta(tmp_path / name, *("".join(r) for r in records), opener=opener)
        assert strings(reads.contigs(path)) == ["ACGTACGTN", "NGATTACA"]


def test_reads_are_pieces_of_either_strand(module):
    reads = module("genome_reads")
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 4, n, dtype=np.uint8) for n in (60, 9, 31)]
    parts[0][5] = reads.UNKNOWN
    whole = strings(parts)
    drawn = strings(reads.draw_reads(parts, 500, 10, 0, rng))
    pieces = [{text[i : i + 10] for i in range(len(text) - 9)} for text in whole]
    forward = [{text in piece for piece in pieces} for text in drawn]
    backward = [{reverse_complement(text) in piece for piece in pieces} for text in drawn]
    assert all(True in a | b for a, b in zip(forward, backward, strict=True))
    assert 0.4 < np.mean([True in a for a in forward]) < 0.6
    both = set(drawn) | {reverse_complement(text) for text in drawn}
    assert pieces[0] | pieces[2] <= both and not pieces[1]


def test_substitutions_are_other_bases(module):
    reads = module("genome_reads")
    parts = [np.zeros(1000, np.uint8), np.full(1000, reads.UNKNOWN, np.uint8)]
    for part, share in zip(parts, (0.1, 0), strict=True):
        read = reads.draw_reads([part], 1, 1000, 0.1, np.random.default_rng(0))[0]
        same = read == (part[0] if read[0] == reads.UNKNOWN else np.bincount(read).argmax())
        assert (~same).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("k", [1, 4, 16, 31])
def test_counts_of_canonical_kmers(module, k):
    reads = module("genome_reads")
    codes = np.random.default_rng(1).integers(0, 4, (3, 60), dtype=np.uint8)
    codes[1, 30] = reads.UNKNOWN
    counts = reads.kmers_of(codes, k)
    assert counts.shape == (3, 4**k)
    assert counts.indices.dtype == (np.int32 if k < 16 else np.int64)
    for row, text in zip(counts, strings(codes), strict=True):
        expected = {}
        for i in range(61 - k):
            kmer = text[i : i + k]
            if "N" not in kmer:
                code = min(
                    int("".join(str("ACGT".index(c)) for c in strand), 4)
                    for strand in (kmer, reverse_complement(kmer))
                )
                expected[code] = expected.get(code, 0) + 1
        assert dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) == expected
    flipped = reads.complement(codes[:, ::-1])
    assert (counts != reads.kmers_of(flipped, k)).nnz == 0


@pytest.fixture
def news(tmp_path):
    """Texts of three topics, a word of each topic in every text."""
    rng = np.random.default_rng(0)
    for half in ("train", "test"):
        with gzip.open(tmp_path / f"{half}.jsonl.gz", "wt") as file:
            for label in rng.integers(0, 3, 150).tolist():
                words = [f"noise{i}" for i in rng.integers(0, 40, 10)] + [f"topic{label}"]
                file.write(json.dumps([label, " ".join(rng.permutation(words))]) + "\n")
    return tmp_path


def test_curves_of_texts_and_genomes(module, news, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    paths = [fasta(news / f"{i}.fna", "".join(rng.choice(list("ACGT"), 3000))) for i in range(2)]
    kept = news / "kept.json"
    command = ["selection_curves.py", "--news", str(news), "--genomes", *map(str, paths)]
    command += ["--k", "8", "--reads", "300", "--test-reads", "100", "--sizes", "3", "2000"]
    command += ["--systems", "all", "weights", "chi2", "active", "--json", str(kept)]
    command += ["--seeds", "2"]
    monkeypatch.setattr(sys, "argv", command)
    module("selection_curves").main()
    results = json.loads(kept.read_text())["results"]
    found = {(r["data"], r["system"], r["size"]): r["accuracy"] for r in results}
    assert found["20 newsgroups", "weights", 3] == found["20 newsgroups", "chi2", 3] == 1
    assert found["20 newsgroups", "active", 3] == 1
    for name in ("weights", "active"):
        assert found["genomes, k = 8", name, 2000] > 0.95
    assert found["genomes, k = 8", "weights", 3] < 0.7
    assert len(found) == 14 and len(results) == 18 and str(news) not in kept.read_text()
    printed = capsys.readouterr().out
    assert "**genomes, k = 8**" in printed and "| largest weights of that | 1.000 (" in printed


def test_strings_are_hashed_in_turns(module, news, monkeypatch, capsys):
    hashing = module("token_hashing")
    rows = hashing.words(news, 20)
    assert len(rows) == 20 and len(rows[0]) == 11 + 10
    command = ["token_hashing.py", "--rows", "50", "--turns", "1", "--news", str(news)]
    monkeypatch.setattr(sys, "argv", command)
    hashing.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 2 and lines[2].endswith("| 1 |") and "| sklsh |" in lines[5]
