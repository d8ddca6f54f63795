"""The page on which generators write, with or without a script."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response

from softcloze.service.answers import RowError
from softcloze.service.batcher import OverloadedError
from softcloze.service.disconnect import while_connected
from softcloze.service.form import Form, boxes_of, make_row, read_form, take_example
from softcloze.service.generator import ServedGenerator
from softcloze.service.page_parts import all_strings, language_of, render_page, served_by_reference
from softcloze.service.service import Service, UnavailableError
from softcloze.service.wire import TextAnswer


@dataclass(frozen=True, slots=True)
class Result:
    """The text of a form that was sent, or why there is none."""

    message: str = ""
    text: str = ""
    cut: str = ""
    status: int = 200
    retry_after: int | None = None


def add_write_page(app: FastAPI, service: Service) -> None:
    """Add the page at /write, which also answers its own form with the whole text.

    Args:
        app: the application.
        service: that writes.
    """

    @app.get("/write", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _render(service, request, Form(language=request.query_params.get("lang")), Result())

    @app.post("/write", include_in_schema=False)
    async def write(request: Request) -> Response:
        form = await read_form(request)
        if form.example:
            filled = take_example(form, served_by_reference(service, ServedGenerator))
            return _render(service, request, filled, Result())
        words = all_strings()[language_of(form, request)]
        return _render(service, request, form, await while_connected(request, _write(service, form, words)))


async def _write(service: Service, form: Form, words: Mapping[str, str]) -> Result:
    """Write the text of a form."""
    if not form.prompts:
        return Result(words["no_generator"], status=422)
    most = service.settings.max_new_tokens
    number = int(form.new_tokens) if form.new_tokens.isdecimal() and len(form.new_tokens) < 10 else 0
    if form.new_tokens and not 1 <= number <= most:
        return Result(words["wrong_new_tokens"].format(most=most), status=422)
    started = time.perf_counter()
    try:
        served = service.generator(form.prompts[0])
        if not any(form.texts.get(box.name) for box in boxes_of(served)):
            return Result(words["no_text"], status=422)
        row = make_row(served, form.texts)
        answer = await service.generate(row, number or None)
    except RowError as error:
        return Result(words["error"].format(message=error.message), status=error.status)
    except OverloadedError as error:
        return Result(words["busy"].format(seconds=error.retry_after), status=429, retry_after=error.retry_after)
    except UnavailableError:
        return Result(words["stopping"], status=503, retry_after=5)
    return _result(answer, words, round(1000 * (time.perf_counter() - started)))


def _result(answer: TextAnswer, words: Mapping[str, str], milliseconds: int) -> Result:
    """A text that was written, with the same words about it as the script has."""
    finish = {"stop": words["finish_stop"], "end": words["finish_end"], "length": words["finish_length"]}[answer.finish]
    name = f"{answer.prompt_id}@{answer.version}"
    message = words["text_written"].format(
        name=name, tokens=answer.new_tokens, finish=finish, milliseconds=milliseconds
    )
    cut = " ".join(words["cut"].format(tokens=tokens, field=field) for field, tokens in answer.cut.items())
    return Result(message, answer.text, cut)


def _render(service: Service, request: Request, form: Form, result: Result) -> Response:
    """Render the page."""
    return render_page(
        "service/write.html",
        service,
        request,
        form,
        ServedGenerator,
        result.status,
        result.retry_after,
        current="write",
        asked=form.prompts[:1],
        most=service.settings.max_new_tokens,
        result=result,
    )
