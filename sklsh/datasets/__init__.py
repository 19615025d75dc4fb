"""Data at scale: extreme multi-label files and sets, k-mers of genomes, n-grams of tokens."""

from sklsh.datasets._fasta import iter_fasta, iter_fasta_kmers
from sklsh.datasets._kmers import decode_kmers, kmer_counts, kmer_tokens
from sklsh.datasets._ngram_pairs import make_ngram_pairs
from sklsh.datasets._python_calls import load_python_calls
from sklsh.datasets._python_tokens import load_python_tokens
from sklsh.datasets._svmlight import load_svmlight_multilabel
from sklsh.datasets._synthetic import make_xmc_classification
from sklsh.datasets._text import iter_word_ngrams
from sklsh.datasets._xmc_file import iter_xmc_file, load_xmc_file, save_xmc_file

__all__ = [
    "decode_kmers",
    "iter_fasta",
    "iter_fasta_kmers",
    "iter_word_ngrams",
    "iter_xmc_file",
    "kmer_counts",
    "kmer_tokens",
    "load_python_calls",
    "load_python_tokens",
    "load_svmlight_multilabel",
    "load_xmc_file",
    "make_ngram_pairs",
    "make_xmc_classification",
    "save_xmc_file",
]
