"""What a report asks of a comparison, computed once: summaries, differences, and who is ahead where."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from markupsafe import Markup

from softcloze.experiments import Comparison, Difference, Shots, Summary, VariantSpread
from softcloze.formatting import one_line, percent, seconds
from softcloze.report.numbers import p_value, points, sentence, shots_phrase

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


def verdict(standing: Standing, rows: int) -> Markup:
    """Which method is best, by how much, whether that may be luck, and which cheaper one does as well.

    Args:
        standing: at one number of training rows.
        rows: held-out rows.
    """
    best = standing.best
    said = Markup("{}, <strong>{}</strong> {}: it is right on {} of {} held-out rows.").format(
        sentence(shots_phrase(standing.shots)),
        one_line(best.method),
        "does best" if len(standing.ranked) > 1 else "stands alone",
        percent(best.accuracy.mean),
        f"{rows:,}",
    )
    leads = standing.leads
    if not leads:
        return said
    return said + _lead(leads[0]) + _rivals(standing.ranked, leads)


def spread(wordings: VariantSpread) -> Markup:
    """How far the same task hangs on its wording."""
    return Markup(
        "{}, the {} prompt variants of <b>{}</b> are right on {} to {} of the rows: <b>{}</b> on the fewest, <b>{}</b> "
        "on the most; half of them on {} or more."
    ).format(
        sentence(shots_phrase(wordings.shots)),
        wordings.count,
        one_line(wordings.variant_of),
        percent(wordings.worst.accuracy.mean),
        percent(wordings.best.accuracy.mean),
        one_line(wordings.worst.method),
        one_line(wordings.best.method),
        percent(wordings.median),
    )


def _lead(lead: Difference) -> Markup:
    """How far the first is ahead of the second."""
    judged = "more than luck" if clear(lead) else "which may be luck alone"
    return Markup(" It is {} points ahead of <b>{}</b>, the next (95% interval {} to {}; {}), {}.").format(
        points(lead.mean).removeprefix("+"),
        one_line(lead.other),
        points(lead.low),
        points(lead.high),
        f"corrected {p_value(lead.p_corrected)}",
        judged,
    )


def _rivals(ranked: tuple[Summary, ...], leads: list[Difference]) -> Markup:
    """Those that the data does not tell from the best, and which of them all is trained soonest."""
    level = {each.other for each in leads if not clear(each)}
    if not level:
        return Markup(" All others are clearly behind.") if len(leads) > 1 else Markup("")
    rivals = [each for each in ranked if each.method in level]
    said = Markup("")
    if len(rivals) > 1:
        names = Markup(", ").join(Markup("<b>{}</b>").format(one_line(each.method)) for each in rivals[1:])
        said += Markup(" Nor is its lead over {} clear.").format(names)
    soonest = min((ranked[0], *rivals), key=lambda each: each.fit_seconds)
    if soonest.method == ranked[0].method:
        return said
    return said + Markup(" Of the {}, <b>{}</b> takes the least training: {} against {}.").format(
        "two" if len(rivals) == 1 else "methods that may be as good",
        one_line(soonest.method),
        seconds(soonest.fit_seconds),
        seconds(ranked[0].fit_seconds),
    )
