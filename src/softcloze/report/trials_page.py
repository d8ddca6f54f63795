"""The HTML page of the trials of an automatic choice."""

from pathlib import Path

from markupsafe import Markup

from softcloze.automatic import Trials
from softcloze.display import Table, as_html, html_environment
from softcloze.formatting import quoted_list
from softcloze.report.html import write_page
from softcloze.report.view import draw_template


def write_trials_report(trials: Trials, path: str | Path) -> Path:
    """Write trials as one HTML file without scripts or references to other files.

    Raises:
        ParameterError: `path` is not a path.
        FileError: the file cannot be written.
    """
    return write_page(path, lambda: trials_page(trials), has_plots=False)


def trials_page(trials: Trials) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    facts = {
        "examples": f"{max(record.examples for record in trials.records):,}",
        "labels": f"{len(trials.labels):,}: {quoted_list(trials.labels)}",
        "seconds": f"{trials.seconds:.0f}",
    }
    content = trials.content()
    prompts = [record for record in trials.records if record.features != "embedding"]
    chosen = dict.fromkeys(record.template for record in prompts if record.is_chosen)
    return (
        html_environment()
        .get_template("report/trials_page.html")
        .render(
            facts=facts,
            verdicts=[line for line in content if isinstance(line, str)],
            table=Markup(
                as_html([block._replace(title="") for block in content if isinstance(block, Table)])
            ),  # which escapes all text
            templates=[draw_template(template) for template in chosen],
        )
    )
