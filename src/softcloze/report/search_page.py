"""The HTML page of a search."""

from pathlib import Path

from markupsafe import Markup

from softcloze.display import html_environment
from softcloze.formatting import mean_sd, one_line, percent
from softcloze.report.html import Plot, write_page
from softcloze.search import SearchSummary
from softcloze.search.table import notes, parameter_value, round_title, share_note, varying_parameters


def write_search_report(summary: SearchSummary, path: str | Path) -> Path:
    """Write a search as one HTML file without scripts or references to other files.

    Raises:
        ParameterError: `path` is not a path.
        ReportError: matplotlib is not installed.
        FileError: the file cannot be written.
    """
    return write_page(path, lambda: search_page(summary))


def search_page(summary: SearchSummary) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    names = varying_parameters(summary)
    template = html_environment().get_template("report/search_page.html")
    return template.render(
        mean_sd=mean_sd,
        percent=percent,
        parameter_value=parameter_value,
        facts=_facts(summary),
        verdicts=[_verdict(summary, names), *notes(summary)],
        summary=summary,
        share_note=share_note(summary),
        plots=_plots(summary),
        names=names,
        rounds=[(round_title(summary, round_), round_) for round_ in reversed(summary.rounds)],
    )


def _facts(summary: SearchSummary) -> dict[str, str]:
    first = summary.rounds[0]
    facts = {"candidates": f"{len(first.candidates) + first.failed:,}"}
    if len(summary.rounds) > 1:
        facts["rounds"] = f"{len(summary.rounds)}"
    if summary.best.folds:
        facts["folds"] = f"{len(summary.best.folds)}"
    facts["the winner's score"] = mean_sd(summary.best.mean, summary.best.sd)
    if summary.held_out is not None:
        facts["on held-out examples"] = mean_sd(summary.held_out)
    return facts


def _verdict(summary: SearchSummary, names: list[str]) -> Markup:
    chosen = Markup(", ").join(
        Markup("{} <b>{}</b>").format(one_line(name), parameter_value(summary.best, name)) for name in names
    )
    text = Markup("The winner has {}.").format(chosen)
    if not summary.parameters:
        return text
    first = summary.parameters[0]
    return text + Markup(" <strong>{}</strong> explains most of the variance of the scores by itself: {}.").format(
        one_line(first.name), percent(first.share, 0)
    )


def _plots(summary: SearchSummary) -> list[Plot]:
    from softcloze.report.plots import scores_by_value
    from softcloze.report.svg import quiet_style

    scores = [candidate.mean for candidate in summary.rounds[0].candidates]
    with quiet_style():
        return [
            Plot(
                one_line(parameter.name),
                f"Explains {percent(parameter.share, 0)} of the variance by itself.",
                scores_by_value(f"effect{index}", parameter, (min(scores), max(scores))),
            )
            for index, parameter in enumerate(summary.parameters)
        ]
