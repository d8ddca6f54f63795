"""The values and plots on the page of a comparison."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from softcloze.errors import TemplateSyntaxError
from softcloze.experiments import Comparison, Difference, Spread, Summary, spread_over_variants
from softcloze.formatting import one_line, percent, shots_name, visible
from softcloze.report.html import Plot
from softcloze.report.numbers import count, p_number, points, sentence, shots_phrase
from softcloze.report.plots import ACCURACY, LOG_LOSS, Measure, Point, Series, cost, forest, learning_curves
from softcloze.report.tables import confident_errors, confusions, excerpt, result_columns
from softcloze.report.verdict import Ranking, ReportData, is_clear, variants_verdict, verdict
from softcloze.template import Template
from softcloze.template.describe import as_html


def page_values(comparison: Comparison) -> dict[str, Any]:
    """The variables of the Jinja template: functions, statistics, text and finished plots."""
    data = ReportData(comparison)
    rankings = data.rankings
    verdicts = [
        *(verdict(ranking, len(comparison.texts)) for ranking in rankings),
        *map(variants_verdict, spread_over_variants(comparison)),
    ]
    functions = (_lines, draw_template, excerpt, shots_phrase, sentence, percent, points, count, p_number, is_clear)
    return {
        **{function.__name__.removeprefix("_"): function for function in functions},
        "comparison": comparison,
        "facts": _facts(comparison),
        "verdicts": verdicts or [Markup("No run finished.")],
        "columns": result_columns(data),
        "groups": data.groups,
        "failures": [run for run in comparison.runs if run.error is not None],
        "curves": _curves(data),
        "leads": [_leads(i, ranking) for i, ranking in enumerate(rankings) if ranking.leads],
        "costs": _costs(data),
        "confusions": confusions(data),
        "errors": confident_errors(comparison, rankings[-1]) if rankings else None,
        "protocol": _protocol(comparison),
    }


def draw_template(template: str) -> Markup:
    """A template with its tags highlighted; text that does not parse, such as a name, as it is."""
    try:
        parsed = Template(template)
        return Markup(as_html(parsed.nodes, parsed.node_blocks))  # as_html escapes all text
    except TemplateSyntaxError:
        return Markup('<p class="text" lang="">{}</p>').format(visible(template))


def _lines(text: str) -> str:
    """A message of several lines without indentation."""
    return "\n".join(one_line(line.strip()) for line in text.splitlines())


def _facts(comparison: Comparison) -> dict[str, str]:
    facts = {}
    if comparison.model is not None:
        facts["model"] = comparison.model
    if comparison.parameters is not None:
        facts["parameters"] = count(comparison.parameters)
    facts["held-out examples"] = count(len(comparison.texts))
    facts["classes"] = count(len(comparison.classes))
    facts["methods"] = count(len(comparison.methods))
    facts["draws of training examples"] = count(len(comparison.protocol.seeds))
    return facts


def _protocol(comparison: Comparison) -> dict[str, str]:
    protocol = comparison.protocol
    return {
        "training examples per class": ", ".join(map(shots_name, protocol.shots)),
        "balanced classes": "yes" if protocol.balanced else "no, in proportion to the data",
        "seeds": ", ".join(map(str, protocol.seeds)),
        "maximum of held-out examples": "all" if protocol.test_rows is None else count(protocol.test_rows),
        "SHA-256 of the protocol": protocol.hash,
    }


def _curves(data: ReportData) -> list[Plot]:
    """Accuracy and log loss over training examples, if methods learnt from several numbers of them."""
    if sum(shots != 0 for shots in data.shots) < 2:
        return []
    names = [shots_name(shots) for shots in data.shots]
    kinds: list[tuple[str, str, Measure, Callable[[Summary], Spread]]] = [
        ("accuracy", "Accuracy: higher is better", ACCURACY, lambda summary: summary.accuracy),
        ("loss", "Log loss: lower is better", LOG_LOSS, lambda summary: summary.log_loss),
    ]
    note = "Lines join the means; each small dot beside them is one draw of the training examples."
    if 0 in data.shots:
        note += " Methods without training are drawn as dotted lines."
    plots = []
    for name, title, measure, spread_of in kinds:
        series = _series(data, lambda summary: data.shots.index(summary.shots), spread_of)
        plots.append(Plot(title, note, learning_curves(name, title, measure, series, names)))
    return plots


def _costs(data: ReportData) -> list[Plot]:
    kinds: list[tuple[str, str, str, Callable[[Summary], float]]] = [
        ("seconds", "Accuracy and training time", "training, seconds", lambda summary: summary.fit_seconds),
        (
            "trained",
            "Accuracy and trainable parameters",
            "trainable parameters",
            lambda summary: float(summary.trainable),
        ),
    ]
    plots = []
    for name, title, label, cost_of in kinds:
        series = _series(data, cost_of, lambda summary: summary.accuracy)
        if any(point.x for line in series for point in line.points):
            note = "Better is up and to the left. Larger markers had more training examples."
            plots.append(Plot(title, note, cost(name, title, series, label)))
    return plots


def _series(data: ReportData, x_of: Callable[[Summary], float], spread_of: Callable[[Summary], Spread]) -> list[Series]:
    """The summaries of each method as points, in the order of training examples."""
    series = []
    for index, card in enumerate(data.comparison.methods):
        summaries = data.of(card.name)
        points = [Point(x_of(summary), spread_of(summary).mean, spread_of(summary).values) for summary in summaries]
        if points:
            series.append(Series(index, card.name, tuple(points)))
    return series


def _leads(i: int, ranking: Ranking) -> tuple[Plot, list[Difference]]:
    """A plot of the lead of the best method, and the differences between all methods with this number of examples."""
    title = sentence(shots_phrase(ranking.shots))
    best = one_line(ranking.best.method)
    plot = Plot(title, f"The lead of {best} over the others.", forest(f"forest{i}", title, ranking.leads))
    return plot, [difference for difference in ranking.differences if difference.shots == ranking.shots]
