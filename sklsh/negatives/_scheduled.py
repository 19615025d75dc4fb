"""One sampler after another, over a fit."""

import copy

from sklsh.negatives._protocol import Sampler


class Scheduled(Sampler):
    """Samplers that take over from one another as training goes on.

    Parameters
    ----------
    stages : list of (float, Sampler)
        The share of the fit that is done when each begins, ascending from 0.
    """

    def __init__(self, stages):
        self.stages = stages
        self._stage = 0

    @property
    def current(self):
        """The sampler of now."""
        return self.stages[self._stage][1]

    def advance(self, done):
        """Go over to the sampler of this share of the fit.

        The tables of the last one are dropped: if it comes again, it makes new ones.
        """
        stage = max(i for i, (start, _) in enumerate(self.stages) if start <= done)
        if stage != self._stage:
            self.current.forget()
            self._stage = stage

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        for _, sampler in self.stages:
            sampler.prepare(n_threads)

    def note_labels(self, counts):
        """Take note of how often each class is a label in the rows to come."""
        for _, sampler in self.stages:
            sampler.note_labels(counts)

    def go_on(self, n_steps, place):
        """Take up training that has gone so many steps, in one of several places."""
        for _, sampler in self.stages:
            sampler.go_on(n_steps, place)

    @property
    def inclusions(self):
        """How often classes were looked at in each stage."""
        return [inclusion for _, sampler in self.stages for inclusion in sampler.inclusions]

    def draw(self, hidden, Y, output):
        """What the sampler of now draws."""
        return self.current.draw(hidden, Y, output)

    def refresh(self, output, ids):
        """Take note of the changed rows."""
        self.current.refresh(output, ids)

    def forget(self):
        """Drop the tables; they are made again when they are needed."""
        self.current.forget()

    def without_tables(self):
        """Copy that has to make its hash tables again from the output layer."""
        fresh = copy.copy(self)
        fresh.stages = [(start, sampler.without_tables()) for start, sampler in self.stages]
        return fresh

    @property
    def mean_load(self):
        """Mean number of classes in a bucket that holds any, now."""
        return self.current.mean_load

    @property
    def table_bytes(self):
        """Bytes of the hash tables, now."""
        return self.current.table_bytes
