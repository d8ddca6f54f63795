"""What a report asks of a comparison, computed once: summaries, differences, and who is ahead where."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from softcloze.experiments.comparison import Comparison, Difference, Summary
from softcloze.experiments.protocol import Shots

ALPHA = 0.05


def clear(difference: Difference) -> bool:
    """Whether a difference is more than luck."""
    return difference.p_corrected < ALPHA


@dataclass(frozen=True, slots=True)
class Standing:
    """The methods that can be compared at one number of training rows.

    Attributes:
        shots: training rows.
        ranked: the best accuracy first; methods that learn nothing compete everywhere.
        differences: between each two of them, seen from the better one, in the order of `ranked`.
    """

    shots: Shots
    ranked: tuple[Summary, ...]
    differences: tuple[Difference, ...]

    @property
    def best(self) -> Summary:
        """The method with the highest mean accuracy."""
        return self.ranked[0]

    @property
    def leads(self) -> list[Difference]:
        """How far the best is ahead of each of the others, the nearest first."""
        return [each for each in self.differences if each.method == self.best.method]


@dataclass(frozen=True)
class Findings:
    """A comparison with all that is computed from it.

    Attributes:
        comparison: what was measured.
    """

    comparison: Comparison

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """One for each method and number of training rows."""
        return self.comparison.summary()

    @cached_property
    def shots(self) -> tuple[Shots, ...]:
        """The numbers of training rows that some run came to an end with; none comes first."""
        there = {each.shots for each in self.summaries}
        return tuple(shots for shots in dict.fromkeys((0, *self.comparison.protocol.shots)) if shots in there)

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """The standing at every number of training rows."""
        differences = self.comparison.differences()
        return tuple(self._standing(shots, differences) for shots in self.shots)

    def of(self, method: str) -> list[Summary]:
        """The summaries of a method, by number of training rows."""
        return sorted(
            (each for each in self.summaries if each.method == method), key=lambda each: self.shots.index(each.shots)
        )

    def _standing(self, shots: Shots, differences: Sequence[Difference]) -> Standing:
        learning = {each.method for each in self.summaries if each.shots != 0}
        there = [each for each in self.summaries if each.shots == shots or each.method not in learning]
        ranked = tuple(sorted(there, key=lambda each: -each.accuracy.mean))
        place = {each.method: i for i, each in enumerate(ranked)}
        between = (
            each if place[each.method] < place[each.other] else _turned(each)
            for each in differences
            if {each.method, each.other} <= place.keys()
            and (each.shots == shots or not {each.method, each.other} & learning)
        )
        return Standing(shots, ranked, tuple(sorted(between, key=lambda each: (place[each.method], place[each.other]))))


def _turned(each: Difference) -> Difference:
    """The same difference, seen from the other side."""
    return replace(
        each, method=each.other, other=each.method, mean=0.0 - each.mean, low=0.0 - each.high, high=0.0 - each.low
    )
