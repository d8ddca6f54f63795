"""The page for labelling: it answers its own forms, with or without a script."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from softcloze.display import html_environment
from softcloze.labelling.keys import LABEL_KEYS
from softcloze.service.form import Form, read_entries
from softcloze.service.labelling.desk import Desk
from softcloze.service.labelling.sent import Sent, parse
from softcloze.service.labelling.view import MANY_LABELS, View, curve_points
from softcloze.service.page_parts import HEADERS, add_static_files, as_html, language_of
from softcloze.verbalizer import Label

_CURVE = (280.0, 90.0)  # width and height of the drawing


@cache
def all_strings() -> dict[str, dict[str, str]]:
    """All strings of the page by language."""
    text = files("softcloze.service.labelling").joinpath("strings.json").read_text(encoding="utf-8")
    strings: dict[str, dict[str, str]] = json.loads(text)
    return strings


def add_labelling_page(app: FastAPI, desk: Desk, name: str | None, stop: Callable[[], object]) -> None:
    """Add the page at / and the files that it needs.

    Args:
        app: the application.
        desk: that does what forms say.
        name: that the page offers; None to ask for one before the first text.
        stop: called when the results are written.
    """
    add_static_files(app)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        sent = Sent(language=request.query_params.get("lang"))
        view = await run_in_threadpool(desk.do, sent, all_strings()[_language(sent, request)])
        return await run_in_threadpool(_render, desk, request, sent, view, name)

    @app.post("/", include_in_schema=False)
    async def answer(request: Request) -> Response:
        sent = parse(await read_entries(request))
        view = await run_in_threadpool(desk.do, sent, all_strings()[_language(sent, request)])
        if view.stage == "results":
            stop()
        return await run_in_threadpool(_render, desk, request, sent, view, name)


def _language(sent: Sent, request: Request) -> str:
    return language_of(Form(language=sent.language), request)


def _chosen(labels: Sequence[Label], sent: Sent, view: View) -> Sequence[int]:
    """Indices of the labels that are marked: those of the form while its text stays, or those that the text has."""
    if view.index == sent.index and sent.labels and not view.clears:
        return sent.labels
    return [labels.index(label) for label in view.doubt.labels] if view.doubt is not None else ()


def _render(desk: Desk, request: Request, sent: Sent, view: View, name: str | None) -> Response:
    """Render the page, or the part of it that changes."""
    language = _language(sent, request)
    words: Mapping[str, str] = all_strings()[language]
    labeller, curve = desk.labeller, desk.quality.curve if desk.quality is not None else ()
    stays = view.stage == "question" and view.index == sent.index  # what was typed stays with its text
    content = (
        html_environment()
        .get_template("service/labelling/work.html" if sent.is_part else "service/labelling/page.html")
        .render(
            words=words,
            language=language,
            languages=all_strings(),
            view=view,
            sent=sent,
            reading=desk.reading,
            labels=labeller.labels,
            counts=labeller.counts(),
            labelled=len(labeller.labelled()),
            total=len(labeller.texts),
            multi_label=labeller.multi_label,
            chosen=_chosen(labeller.labels, sent, view),
            renamings=labeller.renamings,
            note=sent.note if stays else view.doubt.note if view.doubt is not None else "",
            quality=desk.quality,
            is_due=view.stage == "question" and desk.is_due,
            points=curve_points(curve, *_CURVE) if len(curve) > 1 else [],
            size=_CURVE,
            keys=LABEL_KEYS,
            many_labels=MANY_LABELS,
            text=as_html,
            data={"words": {"unreachable": words["unreachable"], "working": words["working"]}, "name": name},
        )
    )
    return Response(content, view.status, HEADERS, "text/html")
