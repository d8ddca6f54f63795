"""All that a report shows, as plain data and finished drawings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from softcloze.errors import TemplateSyntaxError
from softcloze.experiments import Comparison, Difference, MethodCard, Run, Spread, Summary, spread_over_variants
from softcloze.formatting import one_line, shots_name, visible
from softcloze.report.html import Plot
from softcloze.report.numbers import count, sentence, shots_phrase
from softcloze.report.plots import ACCURACY, LOG_LOSS, Interval, Measure, Point, Series, cost, forest, learning_curves
from softcloze.report.tables import Confusion, Group, Mistakes, columns, confusions, groups, worst_mistakes
from softcloze.report.verdict import Findings, Standing, clear, spread, verdict
from softcloze.template import Template
from softcloze.template.describe import as_html


@dataclass(frozen=True, slots=True)
class Duel:
    """The pairs of methods at one number of training rows."""

    title: str
    plot: Plot
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A method and its template, drawn."""

    name: str
    description: str
    drawn: Markup


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page, in its order; text is as users wrote it, `Markup` is ours."""

    task: str
    facts: Mapping[str, str]
    verdicts: Sequence[Markup]
    rows: str
    columns: Sequence[tuple[str, str]]
    groups: Sequence[Group]
    failures: Sequence[Run]
    curves: Sequence[Plot]
    duels: Sequence[Duel]
    costs: Sequence[Plot]
    classes: Sequence[str]
    confusions: Sequence[Confusion]
    mistakes: Mistakes | None
    methods: Sequence[Method]
    command: str | None
    protocol: Mapping[str, str]
    environment: Mapping[str, str]


def view(comparison: Comparison) -> Report:
    """Compute and draw what there is to show of a comparison."""
    findings = Findings(comparison)
    shown, standings = columns(findings), findings.standings
    verdicts = [
        *(verdict(standing, len(comparison.texts)) for standing in standings),
        *map(spread, spread_over_variants(comparison)),
    ]
    return Report(
        task=comparison.task,
        facts=_facts(comparison),
        verdicts=verdicts or [Markup("No run came to an end.")],
        rows=count(len(comparison.texts)),
        columns=[column.title for column in shown],
        groups=groups(findings, shown),
        failures=[run for run in comparison.runs if run.error is not None],
        curves=_curves(findings),
        duels=[_duel(i, standing) for i, standing in enumerate(standings) if standing.leads],
        costs=_costs(findings),
        classes=comparison.classes,
        confusions=confusions(findings),
        mistakes=worst_mistakes(comparison, standings[-1]) if standings else None,
        methods=[_method(card) for card in comparison.methods],
        command=comparison.command,
        protocol=_protocol(comparison),
        environment=comparison.environment,
    )


def _facts(comparison: Comparison) -> dict[str, str]:
    facts = {}
    if comparison.model is not None:
        facts["model"] = comparison.model
    if comparison.parameters is not None:
        facts["its parameters"] = count(comparison.parameters)
    facts["held-out rows"] = count(len(comparison.texts))
    facts["classes"] = count(len(comparison.classes))
    facts["methods"] = count(len(comparison.methods))
    facts["draws of training rows"] = count(len(comparison.protocol.seeds))
    return facts


def _protocol(comparison: Comparison) -> dict[str, str]:
    protocol = comparison.protocol
    return {
        "training rows per class": ", ".join(map(shots_name, protocol.shots)),
        "as many of each class": "yes" if protocol.balanced else "no, as many as there are",
        "seeds": ", ".join(map(str, protocol.seeds)),
        "held-out rows, at most": "all" if protocol.test_rows is None else count(protocol.test_rows),
        "SHA-256 of the protocol": protocol.hash,
    }


def _curves(findings: Findings) -> list[Plot]:
    """Accuracy and log loss over training rows, where there are several numbers of them."""
    if len(findings.shots) < 2:
        return []
    names = [shots_name(shots) for shots in findings.shots]
    kinds: list[tuple[str, str, Measure, Callable[[Summary], Spread]]] = [
        ("accuracy", "Accuracy: higher is better", ACCURACY, lambda each: each.accuracy),
        ("loss", "Log loss: lower is better", LOG_LOSS, lambda each: each.log_loss),
    ]
    note = "Lines join the means; each small dot beside them is one draw of the training rows."
    if 0 in findings.shots:
        note += " What learns nothing goes on as a dotted line."
    plots = []
    for name, title, measure, of in kinds:
        series = _series(findings, lambda each: findings.shots.index(each.shots), of)
        plots.append(Plot(title, note, learning_curves(name, title, measure, series, names)))
    return plots


def _costs(findings: Findings) -> list[Plot]:
    kinds: list[tuple[str, str, str, Callable[[Summary], float]]] = [
        ("seconds", "Accuracy and training time", "training, seconds", lambda each: each.fit_seconds),
        ("trained", "Accuracy and trained numbers", "trained numbers", lambda each: float(each.trainable)),
    ]
    plots = []
    for name, title, label, of in kinds:
        series = _series(findings, of, lambda each: each.accuracy)
        if any(point.x for each in series for point in each.points):
            note = "Up and to the left is better. Larger marks had more training rows."
            plots.append(Plot(title, note, cost(name, title, series, label)))
    return plots


def _series(findings: Findings, x: Callable[[Summary], float], spread: Callable[[Summary], Spread]) -> list[Series]:
    """The summaries of each method as points, in the order of training rows."""
    found = []
    for number, card in enumerate(findings.comparison.methods):
        points = tuple(Point(x(each), spread(each).mean, spread(each).values) for each in findings.of(card.name))
        if points:
            found.append(Series(number, card.name, points))
    return found


def _duel(i: int, standing: Standing) -> Duel:
    title = sentence(shots_phrase(standing.shots))
    best = one_line(standing.best.method)
    intervals = [Interval(each.other, each.mean, each.low, each.high, clear(each)) for each in standing.leads]
    plot = Plot(title, f"How far {best} is ahead of the others.", forest(f"forest{i}", title, intervals))
    return Duel(title, plot, tuple(each for each in standing.differences if each.shots == standing.shots))


def _method(card: MethodCard) -> Method:
    return Method(card.name, card.description, Markup("") if card.template is None else _drawn(card.template))


def _drawn(template: str) -> Markup:
    """A template in its colours; one that is none, such as a name, as it is."""
    try:
        parsed = Template(template)
        return Markup(as_html(parsed.nodes, parsed.node_blocks))  # which escapes all text
    except TemplateSyntaxError:
        return Markup('<p class="text" lang="">{}</p>').format(visible(template))
