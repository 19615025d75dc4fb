"""Samplers whose candidates the whole batch shares."""

import numpy as np

from sklsh._coded_rows import CodedRows
from sklsh._kernels import _candidates
from sklsh._kernels._coded_rows import MAX_DEPTH
from sklsh._layer_tables import LayerTables
from sklsh.negatives._proposals import UniformProposal
from sklsh.negatives._protocol import (
    LOGQ,
    WEIGHTED,
    Candidates,
    Counted,
    Inclusion,
    Sampler,
    WithTables,
    check_labels,
    one_label_each,
    shift_of,
)

PLACES_PER_QUERY = 10  # among the retrieved classes, for each row that asks the hash tables


class InBatch(Counted, Sampler):
    """The labels of the batch, and nothing else.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    correction : {"half_logq", "logq", "head_tail", "importance", "none"}
        What makes up for the classes that are not looked at.

        "logq" takes from each logit the log of the share of steps that look at its class.
        A class rarely looked at is rarely told that it is wrong, so its logit comes out too
        large by that much; the shift makes up for it. That is exact where the choice does
        not depend on the row, as in uniform draws; for retrieved classes, which are looked
        at where they matter, their average share is an approximation.
        "half_logq" takes half of it, and half of its mean over the labels of the batch: rare
        classes rank higher than they are likely, and the level of the logits stays.
        "head_tail" weighs a drawn class by how many it stands for: the softmax's sum over
        all classes is then estimated without bias, whatever the exact part holds, because
        the draw does not depend on the logits. Where nothing is drawn it changes
        nothing. "importance" is the same here. "none" leaves logits as they come.
    """

    def __init__(self, n_classes, correction):
        self.n_classes = n_classes
        self.correction = correction
        self.n_threads = 1
        self._position = None
        self._ids = None
        self._n_draws = 0
        self._inclusion = Inclusion(n_classes)

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        self.n_threads = n_threads
        if self._position is None:
            self._position = np.zeros(self.n_classes, dtype=np.int32)
            self._ids = np.zeros(self.n_classes, dtype=np.int32)
        self._inclusion.make_writable()

    def draw(self, hidden, Y, output):
        """The batch's distinct labels."""
        positions, n = self._begin(Y.indices)
        return self._finish(positions, n, n)

    def _begin(self, labels):
        if self._position is None:
            self.prepare(self.n_threads)
        check_labels(labels, self.n_classes)
        self._n_draws += 1
        positions = np.empty(len(labels), dtype=np.int32)
        n = _candidates.take_labels(labels, self._position, self._ids, positions)
        return positions, n

    def _finish(self, positions, n_exact, n, tail_weights=(), tail_share=0.0):
        """Candidates ids[:n], of which the last n - n_exact were drawn.

        `tail_weights` says what those stand for, and `tail_share` with what probability a
        draw takes each class, one number or one for each candidate.
        """
        ids = self._ids[:n].copy()
        weights = np.ones(n, dtype=np.float32)
        shift = np.zeros(n, dtype=np.float32)
        if self.correction in WEIGHTED:
            weights[n_exact:] = tail_weights
        elif self.correction in LOGQ:
            uniform = np.ndim(tail_share) == 0
            self._inclusion.note(ids[:n_exact], tail_share if uniform else 0)
            log_share = np.log(self._inclusion.share(ids, None if uniform else tail_share))
            shift = shift_of(self.correction, log_share, log_share[positions])
        return Candidates(ids, positions, n_exact, weights, shift)

    def __getstate__(self):
        return vars(self) | {"_position": None, "_ids": None}


class Drawn(InBatch):
    """The labels of the batch, and classes drawn from a distribution that all rows share.

    Parameters
    ----------
    n_classes, correction
        As for :class:`InBatch`.

    n_active : int
        Classes drawn beside the batch's labels.

    seed : int
        Seed of the draws.

    proposal : UniformProposal or Proposal, default=None
        What they are drawn from; None draws uniformly.
    """

    def __init__(self, n_classes, correction, *, n_active, seed, proposal=None):
        super().__init__(n_classes, correction)
        self.n_active = n_active
        self.seed = seed
        self.proposal = proposal or UniformProposal(n_classes)

    def note_labels(self, counts):
        """Take note of how often each class is a label in the rows to come."""
        self.proposal.note_labels(counts)

    def draw(self, hidden, Y, output):
        """Labels, then the draw."""
        positions, n_labels = self._begin(Y.indices)
        return self._with_tail(positions, n_labels, self.n_active)

    def _with_tail(self, positions, n_exact, n_draws):
        seed = (self.seed << 32) + self._n_draws
        drawn = self.proposal.extend(seed, self._position, self._ids, n_exact, n_draws)
        n, weights, share = drawn
        return self._finish(positions, n_exact, n, weights, share)


class LSH(WithTables, Drawn):
    """Labels, classes retrieved by hashing and re-ranked by their logit, and a draw.

    The rows of the output layer are hashed into tables. Rows of the batch, one for every
    ten classes to retrieve, look up their buckets and rank by their logits what no row has
    found before them. They take turns, best first, until the retrieved share is full; a draw,
    the tail, fills what is left.

    Parameters
    ----------
    n_classes, correction, n_active, seed
        As for :class:`Drawn`.

    tail : float, default=0.25
        Share of `n_active` that is drawn.

    proposal : UniformProposal or Proposal, default=None
        What from; None draws uniformly.

    query : {"embedding", "label"}, default="embedding"
        What looks up the buckets: the activations of a row, which finds classes that it
        mistakes for its own; or the weights of its label, which finds classes like that.

    **tables
        Parameters of the hash tables over the output layer: width, hash_family, n_bits,
        n_tables, bucket_size, rehash_every, rehash_growth, redraw_every.

    Attributes
    ----------
    tables : LayerTables
        The tables, over the rows of the output layer that are not zero.

    rows : CodedRows
        All rows in 4 bits a weight, by which logits are estimated; at most three batches old.

    Notes
    -----
    The design is SLIDE's (arXiv:1903.03129), with three changes: the batch shares one
    set, hits are re-ranked by estimates of their logits, and a random tail is mixed in.
    Rows of a batch find much the same classes: so some of them ask, and a class is scored
    once.
    """

    def __init__(
        self, n_classes, correction, *,
        n_active, seed, tail=0.25, proposal=None, query="embedding", **tables,
    ):  # fmt: skip
        super().__init__(n_classes, correction, n_active=n_active, seed=seed, proposal=proposal)
        self.tail = tail
        self.query = query
        self.tables = LayerTables(n_classes, seed=seed, **tables)
        self.rows = CodedRows(n_classes, tables["width"])

    def draw(self, hidden, Y, output):
        """Labels, retrieved classes by rank, then the draw."""
        positions, n_labels = self._begin(Y.indices)
        self.tables.rehash_when_due(output.weights, self.n_threads)
        self.rows.refresh_when_due(output, self.n_threads)
        wanted = n_labels + self.n_active
        n_retrieved = round((1 - self.tail) * self.n_active)
        asking = asking_rows(len(hidden), n_retrieved)
        codes = self._codes(asking, hidden, Y)
        best, found = self._ranked_hits(codes, hidden[asking], n_labels)
        n_exact = _candidates.take_ranked(
            best, found, self._position, self._ids, n_labels,
            min(n_labels + n_retrieved, self.n_classes),
        )  # fmt: skip
        return self._with_tail(positions, n_exact, wanted - n_exact)

    def _codes(self, asking, hidden, Y):
        """What the rows look up: codes of their activations, or those of a label each."""
        if self.query == "embedding":
            return self.tables.codes(hidden[asking], self.n_threads)
        return self.tables.codes_of(one_label_each(Y, self._n_draws)[asking])

    def _ranked_hits(self, codes, asking, n_labels):
        """Classes that are no labels in the buckets of each row, best first, and how many."""
        starts, pool = self.tables.pool_hits(codes, self._ids[:n_labels], salt=self._n_draws)
        return self.rows.rank(starts, pool, asking, self._depth(len(asking)), self.n_threads)

    def _depth(self, n_asking):
        """Places in each row's ranking: several times its turn, as rows find the same."""
        return int(np.clip(2 * self.n_active // max(n_asking, 1), 16, MAX_DEPTH))

    def refresh(self, output, ids):
        """Take note of the changed rows; tables and codes take them over when it is time."""
        super().refresh(output, ids)
        self.rows.note_step(ids)

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        super().prepare(n_threads)
        self.rows.make_writable()

    def forget(self):
        """Drop tables and codes; they are made again when they are needed."""
        super().forget()
        self.rows.forget()

    @property
    def table_bytes(self):
        """Bytes of the hash tables, and of the codes that rank what they hold."""
        return self.tables.nbytes + self.rows.nbytes


def asking_rows(n_rows, n_retrieved):
    """Rows of the batch, evenly spread, that find the classes to retrieve: as few as will do."""
    n = min(n_rows, -(-n_retrieved // PLACES_PER_QUERY))
    return np.arange(n) * n_rows // max(n, 1)
