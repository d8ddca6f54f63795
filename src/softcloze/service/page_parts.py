"""Common parts of the pages of the service: strings, languages, files, and text as HTML."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import Response
from markupsafe import Markup

from softcloze.display import html_environment
from softcloze.formatting import abbreviate, has_chinese, visible
from softcloze.registry import LIVE
from softcloze.service.answers import RowError
from softcloze.service.form import TEXT_BOX, Box, Form, boxes_of, example_texts
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings
from softcloze.service.version import Served
from softcloze.template.describe import BOX, STYLES

# a form's POST has the origin "null" under no-referrer, which is the policy of all other answers
HEADERS = {"Referrer-Policy": "same-origin"}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
Kind = TypeVar("Kind", bound=Served)


def as_html(text: object) -> Markup:
    """Text of a prompt or a user, apart from the direction and the language of the text around it."""
    content = visible(str(text))
    return Markup('<bdi lang="{}">{}</bdi>').format("zh" if has_chinese(content) else "", content)


def served_by_reference(service: Service, kind: type[Kind]) -> dict[str, Kind]:
    """The versions of a kind by the references of their aliases, the one that is live first."""
    return {
        name if alias == LIVE else f"{name}@{alias}": version
        for name, aliases in sorted(service.catalogue.aliases.items())
        for alias, version in sorted(aliases.items(), key=lambda pair: (pair[0] != LIVE, pair[0]))
        if isinstance(version, kind)
    }


def boxes_by_prompts(served: Mapping[str, Served]) -> dict[Box, list[str]]:
    """The boxes that some versions need, each with the references of those that need it."""
    boxes = {box.name: box for version in served.values() for box in boxes_of(version)}
    return {
        box: [reference for reference, version in served.items() if box.name in {one.name for one in boxes_of(version)}]
        for box in sorted(boxes.values(), key=lambda box: box.name != TEXT_BOX)
    }


def data_of(served: Mapping[str, Served], words: Mapping[str, str], settings: ServiceSettings) -> dict[str, Any]:
    """The data that the scripts of a page get."""
    return {
        "words": words,
        "prompts": {
            reference: {
                "version": version.version.number,
                "boxes": [[box.field, box.name, box.is_list] for box in boxes_of(version)],
                "examples": example_texts(version),
            }
            for reference, version in served.items()
        },
        "maxRows": settings.max_rows,
        "maxBytes": settings.max_body_bytes,
        "needsToken": settings.token is not None,
    }


def render_page(
    name: str,
    service: Service,
    request: Request,
    form: Form,
    kind: type[Kind],
    status: int = 200,
    retry_after: int | None = None,
    *,
    asked: Sequence[str],
    data: Mapping[str, Any] | None = None,
    **values: Any,  # noqa: ANN401 - of the template
) -> Response:
    """Render a page, or its answers alone, for the prompts of a kind.

    Args:
        name: the template.
        service: that the page shows.
        request: of the browser.
        form: that was sent.
        kind: of the versions that the page offers.
        status: of the response.
        retry_after: seconds after which the browser may try again.
        asked: references of the prompts that were chosen; none for the first.
        data: more data for the scripts.
        **values: more values of the template.
    """
    language = language_of(form, request)
    words = all_strings()[language]
    served = served_by_reference(service, kind)
    common = {
        "words": words,
        "language": language,
        "languages": all_strings(),
        "model": service.backbone.name,
        "served": served,
        "form": form,
        "texts": form.texts,
        "boxes": boxes_by_prompts(served),
        "examples": {name: [*map(_excerpt, example_texts(version))] for name, version in served.items()},
        "chosen": asked or [*served][:1],
        "text": as_html,
    }
    common["data"] = data_of(served, words, service.settings) | dict(data if data is not None else {})
    content = html_environment().get_template(name).render(common, **values)
    headers = HEADERS | ({} if retry_after is None else {"Retry-After": str(retry_after)})
    return Response(content, status, headers, "text/html")


def _excerpt(texts: Mapping[str, str]) -> str:
    """An example on its button: the beginning of its texts."""
    return abbreviate(" · ".join(" ".join(text.split()) for text in texts.values()), 80)


@cache
def all_strings() -> dict[str, dict[str, str]]:
    """All strings of the page by language."""
    text = files("softcloze.service").joinpath("strings.json").read_text(encoding="utf-8")
    strings: dict[str, dict[str, str]] = json.loads(text)
    return strings


def language_of(form: Form, request: Request) -> str:
    """The language that was asked for, or the one of ours that the browser prefers."""
    strings = all_strings()
    if form.language in strings:
        return form.language
    weights = dict.fromkeys(strings, 0.0)
    for tag in request.headers.get("accept-language", "").lower().split(","):
        language = re.split("[-;]", tag.strip(), maxsplit=1)[0]
        quality = re.search(r";\s*q=([01](?:\.\d{1,3})?)\s*$", tag)
        if language in weights:
            weights[language] = max(weights[language], float(quality[1]) if quality else 1.0)
    return max(weights, key=lambda language: weights[language])


def add_static_files(app: FastAPI) -> None:
    """Add the files that pages load, at /static/."""
    static = _static_files()

    @app.get("/static/{name}", include_in_schema=False)
    async def static_file(name: str) -> Response:
        if name not in static:
            raise RowError(404, "not_found", "there is no such file")
        content, media_type = static[name]
        return Response(content, media_type=media_type)


def _static_files() -> dict[str, tuple[bytes, str]]:
    """The files that pages load, by name: their own, and the style that they share with reports."""
    package = files("softcloze")
    named = {file.name: file for file in package.joinpath("service", "static").iterdir()}
    named["report.css"] = package.joinpath("report", "style.css")
    contents = {name: file.read_bytes() for name, file in named.items()}
    rules = [f".part {{ {BOX} }}", *(f".part-{kind} {{ {style} }}" for kind, style in STYLES.items())]
    contents["template.css"] = "\n".join(rules).encode()
    return {name: (content, _TYPES["." + name.rpartition(".")[2]]) for name, content in contents.items()}
