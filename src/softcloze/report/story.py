"""What a comparison found, in sentences."""

from markupsafe import Markup

from softcloze.experiments.comparison import Difference, Summary
from softcloze.experiments.wordings import WordingSpread
from softcloze.explanation.spelling import one_line
from softcloze.report.findings import Standing, clear
from softcloze.report.numbers import p_value, percent, points, seconds, sentence, shots_phrase


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


def spread(wordings: WordingSpread) -> Markup:
    """How far the same task hangs on its wording."""
    return Markup(
        "{}, the {} wordings of <b>{}</b> are right on {} to {} of the rows: <b>{}</b> on the fewest, <b>{}</b> on the "
        "most; half of them on {} or more."
    ).format(
        sentence(shots_phrase(wordings.shots)),
        wordings.count,
        one_line(wordings.wording_of),
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
