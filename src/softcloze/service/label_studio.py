"""Routes of Label Studio's protocol for models: predictions for its tasks, and a record of its events.

The model's address in Label Studio is `http://HOST:8000/label-studio/reviews`, in which `reviews` is a prompt, an alias
as in `reviews@canary`, or a version.

Source:
    HumanSignal/label-studio-ml-backend, label_studio_ml/api.py; the calls are those of HumanSignal/label-studio,
    label_studio/ml/api_connector.py and models.py.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from softcloze.service.answers import RowError
from softcloze.service.batcher import OverloadedError
from softcloze.service.disconnect import while_connected
from softcloze.service.service import Outcome, Service, UnavailableError
from softcloze.service.version import ServedVersion
from softcloze.service.wire import (
    LabelStudioAnswer,
    LabelStudioBody,
    LabelStudioPrediction,
    LabelStudioSetup,
    LabelStudioVersion,
    PromptId,
    RowAnswer,
    RowBody,
)


@dataclass(frozen=True, slots=True)
class Control:
    """The choices of a labelling configuration that a prompt makes.

    Attributes:
        name: of the choices.
        text: name of the text that they are about.
        variable: entry of a task's data that has the text.
    """

    name: str
    text: str
    variable: str


def add_label_studio(router: APIRouter, service: Service) -> None:
    """Add the routes to a router or to that of an application."""
    path = "/label-studio/{prompt_id}"
    recording = asyncio.Lock()

    @router.get(f"{path}/health")
    async def health(prompt_id: PromptId) -> dict[str, str]:
        """The prompt is served."""
        service.classifier(prompt_id)
        if not service.is_ready:
            raise UnavailableError
        return {"status": "UP"}

    @router.post(f"{path}/setup")
    async def setup(prompt_id: PromptId, body: LabelStudioSetup) -> LabelStudioVersion:
        """The version of the prompt, if the labelling configuration has its labels."""
        served = service.classifier(prompt_id)
        find_control(body.config, served)
        return LabelStudioVersion(model_version=served.name)

    @router.post(f"{path}/predict")
    async def predict(prompt_id: PromptId, body: LabelStudioBody, request: Request) -> LabelStudioAnswer:
        """A prediction for each task; one that cannot be scored has no choice and the score 0."""
        served = service.classifier(prompt_id)
        control = find_control(body.config, served)
        rows = [_row(task, served, control, prompt_id) for task in body.tasks]
        outcomes = await while_connected(request, _classify(service, rows))
        return LabelStudioAnswer(
            results=[_prediction(outcome, control, served) for outcome in outcomes], model_version=served.name
        )

    @router.post(f"{path}/webhook", status_code=204)
    async def webhook(prompt_id: PromptId, body: dict[str, JsonValue]) -> Response:
        """Record an event if the service has a file for events, and drop it otherwise.

        Nothing is trained: *Start training* of Label Studio, which expects JSON, gets an error; its event is recorded.
        """
        service.classifier(prompt_id)
        if (file := service.settings.label_studio_events) is not None:
            async with recording:
                await asyncio.to_thread(_append, Path(file), {"prompt_id": prompt_id, "event": body})
        if body.get("action") == "START_TRAINING":
            raise RowError(501, "no_training", "the service trains nothing; fit a prompt and promote its version")
        return Response(status_code=204)


def find_control(config: str, served: ServedVersion) -> Control:
    """The choices and the text of a labelling configuration that a version of a prompt fits.

    Args:
        config: XML; one with a document type is not read, since it may define entities that grow without bound.
        served: the version.

    Raises:
        RowError: the configuration is no such XML, or has no choices with all labels of the version on a text.
    """
    try:
        root = None if "<!DOCTYPE" in config else ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError):  # the latter of lone surrogates
        root = None
    if root is None:
        raise RowError(422, "label_config", "the labelling configuration is no XML, or has a document type")
    if served.choices is not None:
        raise RowError(422, "label_config", f"the labels of {served.name} are choices of each row; take /classify")
    variables = {
        tag.get("name"): tag.get("value", "")
        for tag in root.iter()
        if tag.tag in ("Text", "HyperText") and tag.get("valueType") != "url"
    }
    labels = {_as_text(label) for label in served.prompt.verbalizer.labels}
    for tag, choices in _choices(root):
        name, text = tag.get("name", ""), tag.get("toName", "")
        if labels <= choices and re.fullmatch(r"\$.+", variables.get(text, "")):
            return Control(name, text, variables[text][1:])
    message = (
        f"the labelling configuration needs <Choices> with the labels of {served.name}, {', '.join(sorted(labels))}"
    )
    raise RowError(422, "label_config", f'{message}, toName a <Text> with a value as "$text"')


def _choices(root: ElementTree.Element) -> list[tuple[ElementTree.Element, set[str | None]]]:
    """All tags of choices in their order, each with its own; one walk, however deep tags lie in each other."""
    found: list[tuple[ElementTree.Element, set[str | None]]] = []
    open_: list[tuple[ElementTree.Element, set[str | None]]] = [(root, set())]
    while open_:
        tag, choices = open_.pop()
        if tag.tag == "Choices":
            choices = set()
            found.append((tag, choices))
        elif tag.tag == "Choice":
            choices.add(tag.get("alias") or tag.get("value"))
        open_ += [(child, choices) for child in reversed(tag)]
    return found


def _row(task: JsonValue, served: ServedVersion, control: Control, prompt_id: str) -> RowBody:
    """The row of a task: the text that its choices are about, or the fields of the template by name."""
    data = task.get("data") if isinstance(task, dict) else None
    given: dict[str, JsonValue] = data if isinstance(data, dict) else {}
    names = served.fields
    entries = {name: name for name in names} if len(names) > 1 else {names[0]: control.variable}
    fields = {name: given[entry] for name, entry in entries.items() if entry in given}
    return RowBody(text=None, fields=fields, prompt_id=prompt_id)


async def _classify(service: Service, rows: Sequence[RowBody]) -> list[Outcome]:
    """Classify any number of rows, as many at once as a request may have.

    Raises:
        RowError: no row was scored in time.
        UnavailableError: the service is shutting down.
        OverloadedError: too much work is queued for the first of them.
    """
    outcomes: list[Outcome] = []
    most = service.settings.max_rows
    late = RowError(504, "deadline", "the rows could not be scored in time")
    for first in range(0, len(rows), most):
        part = rows[first : first + most]
        try:
            outcomes += await service.classify(part)
        except OverloadedError:
            if not outcomes:
                raise
            outcomes += [late] * len(part)
    if outcomes and all(_is_late(outcome) for outcome in outcomes):
        raise late
    return outcomes


def _prediction(
    outcome: Outcome, control: Control, served: ServedVersion
) -> LabelStudioPrediction | list[LabelStudioPrediction]:
    """The prediction for a task: none for a row that was late, so that Label Studio asks for it again."""
    if isinstance(outcome, RowError):
        empty = LabelStudioPrediction(result=[], score=0.0, model_version=served.name)
        return [] if _is_late(outcome) else empty
    chosen, score = _decision(outcome)
    value: dict[str, Any] = {"choices": [_as_text(label) for label in chosen]}
    result = {"from_name": control.name, "to_name": control.text, "type": "choices", "value": value, "score": score}
    return LabelStudioPrediction(
        result=[result] if chosen else [], score=score, model_version=f"{outcome.prompt_id}@{outcome.version}"
    )


def _decision(answer: RowAnswer) -> tuple[Sequence[JsonValue], float]:
    """The labels of a row and how sure they are: of several, the least sure one, chosen or not, counts."""
    probabilities = (answer.probabilities or {}).values()
    if answer.labels is None:
        return [answer.label], max(probabilities)
    return answer.labels, min(max(probability, 1 - probability) for probability in probabilities)


def _is_late(outcome: Outcome) -> bool:
    return isinstance(outcome, RowError) and outcome.code == "deadline"


def _as_text(label: JsonValue) -> str:
    """A label as choices have it."""
    return label if isinstance(label, str) else json.dumps(label)


def _append(file: Path, event: dict[str, JsonValue]) -> None:
    with file.open("a", encoding="ascii") as lines:
        lines.write(json.dumps(event) + "\n")
