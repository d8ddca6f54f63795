"""Who competes with whom, and how far the best is ahead."""

from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.experiments.comparison import Comparison, Difference, Summary
from softcloze.experiments.protocol import Shots

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """The methods that can be compared at one number of training rows.

    Attributes:
        shots: training rows.
        ranked: the best accuracy first; methods that learn nothing compete everywhere.
        differences: between each two of them, seen from the better one.
    """

    shots: Shots
    ranked: tuple[Summary, ...]
    differences: tuple[Difference, ...]

    @property
    def best(self) -> Summary:
        """The method with the highest mean accuracy."""
        return self.ranked[0]

    def behind(self) -> list[Difference]:
        """How far the best is ahead of each of the others, the nearest first."""
        place = {each.method: i for i, each in enumerate(self.ranked)}
        ahead = (each for each in self.differences if each.method == self.best.method)
        return sorted(ahead, key=lambda each: place[each.other])


def standings(comparison: Comparison) -> list[Standing]:
    """The standing at every number of training rows, fewest first as the protocol has them."""
    summaries, differences = comparison.summary(), comparison.differences()
    learning = {each.method for each in summaries if each.shots != 0}
    found = []
    for shots in levels(comparison):
        there = [each for each in summaries if each.shots == shots or (each.shots == 0 and each.method not in learning)]
        ranked = tuple(sorted(there, key=lambda each: -each.accuracy.mean))
        names = {each.method for each in there}
        between = [
            each
            for each in differences
            if {each.method, each.other} <= names
            and (each.shots == shots or (each.shots == 0 and not {each.method, each.other} & learning))
        ]
        found.append(Standing(shots, ranked, _from_the_better(between, ranked)))
    return found


def levels(comparison: Comparison) -> list[Shots]:
    """The numbers of training rows that some run came to an end with; none comes first."""
    there = {run.shots for run in comparison.runs if run.error is None}
    return [shots for shots in dict.fromkeys((0, *comparison.protocol.shots)) if shots in there]


def clear(difference: Difference) -> bool:
    """Whether a difference is more than luck."""
    return difference.p_corrected < ALPHA


def _from_the_better(differences: Sequence[Difference], ranked: Sequence[Summary]) -> tuple[Difference, ...]:
    place = {each.method: i for i, each in enumerate(ranked)}
    turned = (each if place[each.method] < place[each.other] else _turned(each) for each in differences)
    return tuple(sorted(turned, key=lambda each: (place[each.method], place[each.other])))


def _turned(each: Difference) -> Difference:
    return Difference(
        each.other, each.method, each.shots, 0.0 - each.mean, 0.0 - each.high, 0.0 - each.low, each.p, each.p_corrected
    )
