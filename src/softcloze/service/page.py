"""The page of the service: try texts on prompts, with or without a script."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response
from markupsafe import Markup

from softcloze.analysis import Explanation
from softcloze.display import percent
from softcloze.formatting import visible
from softcloze.service.answers import RowError
from softcloze.service.batcher import OverloadedError
from softcloze.service.disconnect import while_connected
from softcloze.service.explaining import ExplainedOutcome
from softcloze.service.form import Form, boxes_of, make_row, read_form, take_example
from softcloze.service.page_parts import add_static_files, all_strings, language_of, render_page, served_by_reference
from softcloze.service.service import Outcome, Service, UnavailableError
from softcloze.service.version import ServedVersion
from softcloze.service.wire import RowAnswer
from softcloze.template.describe import Described, describe

MAX_LISTED_ROWS = 200  # of a list on the page
_MAX_LABELS = 10  # others are folded
_MAX_WORDS = 10  # of the likeliest


@dataclass(frozen=True, slots=True)
class Card:
    """The answer of one prompt, or why there is none; `reference` is that of the form."""

    reference: str
    name: str
    answer: RowAnswer | None = None
    served: ServedVersion | None = None
    explanation: Explanation | None = None
    errors: tuple[RowError, ...] = ()

    @property
    def chosen(self) -> list[str]:
        """The labels of the answer."""
        if self.answer is None:
            return []
        return [str(self.answer.label)] if self.answer.labels is None else [*map(str, self.answer.labels)]

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Labels and probabilities, the most probable first."""
        return sorted((self.answer.probabilities or {}).items() if self.answer else (), key=lambda pair: -pair[1])

    @property
    def parts(self) -> list[Described]:
        """The parts of the template."""
        if self.served is None:
            return []
        template = self.served.prompt.template
        return describe(template.nodes, template.node_blocks)


@dataclass(frozen=True, slots=True)
class Result:
    """The answers to a form."""

    cards: Sequence[Card] = ()
    message: str = ""
    status: int = 200
    retry_after: int | None = None


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page at /, which also answers its own form, and the files that it needs.

    Args:
        app: the application.
        service: that answers.
    """
    add_static_files(app)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _render(service, request, Form(language=request.query_params.get("lang")), Result())

    @app.post("/", include_in_schema=False)
    async def answer(request: Request) -> Response:
        form = await read_form(request)
        if form.example:
            filled = take_example(form, served_by_reference(service, ServedVersion))
            return _render(service, request, filled, Result())
        words = all_strings()[language_of(form, request)]
        return _render(service, request, form, await while_connected(request, _answer(service, form, words)))


async def _answer(service: Service, form: Form, words: Mapping[str, str]) -> Result:
    """Classify the text of a form by the prompts that were chosen, in one request."""
    if not form.prompts:
        return Result(message=words["no_prompt"], status=422)
    if len(form.prompts) > (most := service.settings.max_rows):
        return Result(message=words["too_many_prompts"].format(rows=most), status=413)
    served: dict[str, ServedVersion] = {}
    outcomes: dict[str, Outcome | ExplainedOutcome] = {}
    for reference in form.prompts:
        try:
            served[reference] = service.classifier(reference)
        except RowError as error:
            outcomes[reference] = error
    if served and not any(form.texts.get(box.name) for version in served.values() for box in boxes_of(version)):
        return Result(message=words["no_text"], status=422)
    rows = [make_row(version, form.texts) for version in served.values()]
    started = time.perf_counter()
    try:
        if rows:
            answers = await (service.explain(rows, _MAX_WORDS) if form.explains else service.classify(rows))
            outcomes.update(zip(served, answers, strict=True))
    except OverloadedError as error:
        return Result(
            message=words["busy"].format(seconds=error.retry_after), status=429, retry_after=error.retry_after
        )
    except UnavailableError:
        return Result(message=words["stopping"], status=503, retry_after=5)
    milliseconds = round(1000 * (time.perf_counter() - started))
    cards = [_card(reference, outcomes[reference], served.get(reference)) for reference in form.prompts]
    status = 200 if any(card.answer for card in cards) else cards[0].errors[0].status
    return Result(cards, _summary(cards, words, milliseconds), status=status)


def _card(reference: str, outcome: Outcome | ExplainedOutcome, served: ServedVersion | None) -> Card:
    """The card of an answer, with its explanation or the reason why it has none if one was asked for."""
    if isinstance(outcome, RowError):
        return Card(reference, reference, errors=(outcome,))
    answer, reasons = outcome if isinstance(outcome, tuple) else (outcome, None)
    name = f"{answer.prompt_id}@{answer.version}"
    if isinstance(reasons, RowError):
        return Card(reference, name, answer, served, errors=(reasons,))
    return Card(reference, name, answer, served, reasons)


def _summary(cards: Sequence[Card], words: Mapping[str, str], milliseconds: int) -> str:
    """The answers in one line."""
    labels = [words["separator"].join(card.chosen) or words["no_label"] for card in cards if card.answer]
    counts = {label: labels.count(label) for label in labels}
    if not labels:
        return words["failed"]
    if len(cards) == 1:
        summary = words["answered"].format(name=cards[0].name, label=labels[0])
    elif len(counts) == 1 and len(labels) == len(cards):
        summary = words["all_agree"].format(count=len(cards), label=labels[0])
    else:
        listed = words["separator"].join(f"{label} ({count})" for label, count in counts.items())
        summary = words["differ"].format(count=len(cards), answers=len(counts), labels=listed)
    return words["summary"].format(summary=visible(summary), milliseconds=milliseconds)


def _render(service: Service, request: Request, form: Form, result: Result) -> Response:
    """Render the page, or its answers alone."""
    return render_page(
        "service/answers.html" if form.is_part else "service/page.html",
        service,
        request,
        form,
        ServedVersion,
        result.status,
        result.retry_after,
        current="classify",
        asked=form.prompts,
        faults=service.catalogue.faults,
        result=result,
        most_labels=_MAX_LABELS,
        most_rows=MAX_LISTED_ROWS,
        data={"maxListed": MAX_LISTED_ROWS},
        bar=_bar,
        percent=percent,
    )


def _bar(share: float) -> Markup:
    """A bar for a number from 0 to 1 that stands beside it as text; CSP allows no style of its own."""
    return Markup('<svg class="bar" aria-hidden="true"><rect width="{}%" height="100%"/></svg>').format(
        f"{100 * min(max(share, 0.0), 1.0):.2f}"
    )
