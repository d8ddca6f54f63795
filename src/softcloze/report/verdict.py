"""The ranking of methods, and the sentences that describe it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from markupsafe import Markup

from softcloze.experiments import Comparison, Difference, Shots, Summary, VariantSpread
from softcloze.experiments.statistics import PairedDifference
from softcloze.formatting import one_line, percent, seconds
from softcloze.report.numbers import p_value, points, sentence, shots_phrase

ALPHA = 0.05


def is_clear(difference: PairedDifference) -> bool:
    """True if a difference is significant after correction."""
    return difference.p_corrected < ALPHA


@dataclass(frozen=True, slots=True)
class Ranking:
    """The methods that can be compared at one number of training examples, the most accurate first.

    Methods without training compete at every number. `differences` has each pair once, the better method first.
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
        """Differences between the best method and each of the others, the smallest first."""
        return [difference for difference in self.differences if difference.method == self.best.method]


@dataclass(frozen=True)
class ReportData:
    """A comparison with its statistics, each computed once."""

    comparison: Comparison

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """A summary for each method and number of training examples."""
        return self.comparison.summary()

    @cached_property
    def shots(self) -> tuple[Shots, ...]:
        """The numbers of training examples with a finished run; 0 comes first."""
        finished = {summary.shots for summary in self.summaries}
        return tuple(shots for shots in dict.fromkeys((0, *self.comparison.protocol.shots)) if shots in finished)

    @property
    def groups(self) -> list[tuple[Shots, list[Summary]]]:
        """The summaries for each number of training examples."""
        return [(shots, [summary for summary in self.summaries if summary.shots == shots]) for shots in self.shots]

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """A ranking for each number of training examples."""
        differences = self.comparison.differences()
        return tuple(self._ranking(shots, differences) for shots in self.shots)

    def of(self, method: str) -> list[Summary]:
        """The summaries of a method, by number of training examples."""
        summaries = (summary for summary in self.summaries if summary.method == method)
        return sorted(summaries, key=lambda summary: self.shots.index(summary.shots))

    def _ranking(self, shots: Shots, differences: Sequence[Difference]) -> Ranking:
        learning = {summary.method for summary in self.summaries if summary.shots != 0}
        competing = (summary for summary in self.summaries if summary.shots == shots or summary.method not in learning)
        ranked = tuple(sorted(competing, key=lambda summary: -summary.accuracy.mean))
        rank = {summary.method: i for i, summary in enumerate(ranked)}
        pairs = (
            difference if rank[difference.method] < rank[difference.other] else _reversed(difference)
            for difference in differences
            if {difference.method, difference.other} <= rank.keys()
            and (difference.shots == shots or not {difference.method, difference.other} & learning)
        )
        return Ranking(shots, ranked, tuple(sorted(pairs, key=lambda pair: (rank[pair.method], rank[pair.other]))))


def _reversed(difference: Difference) -> Difference:
    """The same difference with the methods swapped."""
    return replace(
        difference,
        method=difference.other,
        other=difference.method,
        mean=0.0 - difference.mean,
        low=0.0 - difference.high,
        high=0.0 - difference.low,
    )


def verdict(ranking: Ranking, count: int) -> Markup:
    """Name the best method on `count` held-out examples, its lead, the role of chance, and a cheaper rival."""
    best = ranking.best
    text = Markup("{}, <strong>{}</strong> {}: its accuracy is {} on {} held-out examples.").format(
        sentence(shots_phrase(ranking.shots)),
        one_line(best.method),
        "performs best" if len(ranking.ranked) > 1 else "is the only method",
        percent(best.accuracy.mean),
        f"{count:,}",
    )
    leads = ranking.leads
    if not leads:
        return text
    return text + _lead(leads[0]) + _rivals(ranking.ranked, leads)


def variants_verdict(spread: VariantSpread) -> Markup:
    """Describe the spread in accuracy over prompt variants."""
    return Markup(
        "{}, the accuracy of the {} prompt variants of <b>{}</b> ranges from {} (<b>{}</b>) to {} (<b>{}</b>), with a "
        "median of {}."
    ).format(
        sentence(shots_phrase(spread.shots)),
        spread.count,
        one_line(spread.variant_of),
        percent(spread.worst.accuracy.mean),
        one_line(spread.worst.method),
        percent(spread.best.accuracy.mean),
        one_line(spread.best.method),
        percent(spread.median),
    )


def _lead(lead: Difference) -> Markup:
    """Describe the lead of the best method over the second."""
    judgement = "more than chance explains" if is_clear(lead) else "which may be chance"
    return Markup(
        " Its lead over <b>{}</b>, the next best, is {} points (95% interval {} to {}; corrected {}), {}."
    ).format(
        one_line(lead.other),
        points(lead.mean).removeprefix("+"),
        points(lead.low),
        points(lead.high),
        p_value(lead.p_corrected),
        judgement,
    )


def _rivals(ranked: tuple[Summary, ...], leads: list[Difference]) -> Markup:
    """Name the methods that are not clearly worse than the best, and the one of them that trains fastest."""
    level = {lead.other for lead in leads if not is_clear(lead)}
    if not level:
        return Markup(" All others are clearly behind.") if len(leads) > 1 else Markup("")
    rivals = [summary for summary in ranked if summary.method in level]
    text = Markup("")
    if len(rivals) > 1:
        names = Markup(", ").join(Markup("<b>{}</b>").format(one_line(rival.method)) for rival in rivals[1:])
        text += Markup(" Its lead over {} is not clear either.").format(names)
    fastest = min((ranked[0], *rivals), key=lambda summary: summary.fit_seconds)
    if fastest.method == ranked[0].method:
        return text
    return text + Markup(" Of the {}, <b>{}</b> needs the least training time: {} instead of {}.").format(
        "two" if len(rivals) == 1 else "methods that may be as good",
        one_line(fastest.method),
        seconds(fastest.fit_seconds),
        seconds(ranked[0].fit_seconds),
    )
