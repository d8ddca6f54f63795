"""Learn a calibration for a prompt: what its model says of texts without content, or of many texts together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from softcloze.calibration import (
    METHODS,
    Calibration,
    content_free,
    domain_texts,
    fit_bias,
    fit_mixture,
    fit_temperature,
)
from softcloze.calibration.content_free import COUNT
from softcloze.data import Example
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.prompt import BoundPrompt, Prompt, TrainedParts
from softcloze.template import domain_template


def check_method(method: str | None) -> None:
    """Refuse a calibration that there is not.

    Raises:
        ParameterError: names those that there are.
    """
    if method is not None and method not in METHODS:
        raise ParameterError(
            f"calibration={method!r} is unknown; expected None, {', '.join(map(repr, METHODS))}"
            f"{did_you_mean(str(method), METHODS)}"
        )


def learn_calibration(
    method: str,
    prompt: Prompt,
    bound: BoundPrompt,
    parts: TrainedParts,
    *,
    examples: Sequence[Example],
    scores: Callable[[], np.ndarray],
    targets: Sequence[int],
    seed: int,
) -> Calibration:
    """What `method` makes of a prompt.

    Args:
        method: one of `METHODS`.
        prompt: the prompt, without calibration.
        bound: the same on its backbone.
        parts: what it learnt.
        examples: texts of the domain, for "domain".
        scores: gives their label log-scores, shape (batch, labels), for "batch" and "prototypical"; for "temperature"
            those of examples that nothing was trained on.
        targets: the number of the label of each row of `scores`, for "temperature".
        seed: for what is drawn.

    Raises:
        ParameterError: too few examples for it, or more than words between masks, for "pmi".
        EncodingError: nothing stands around the mask, where "pmi" asks what fits there.
    """

    def score(rows: Sequence[Mapping[str, str]], bound: BoundPrompt = bound) -> np.ndarray:
        shown = prompt.demonstrations_for(rows, bound.scorer.backbone)
        found: np.ndarray = bound.label_scores(bound.encode(rows, shown), [parts])[0].double().numpy()
        return found

    fields = prompt.template.fields
    match method:
        case "contextual":
            return fit_bias(score(content_free(prompt.template)), method)
        case "domain":
            generator = np.random.default_rng(seed)
            values = [prompt.template.read_fields(example, row) for row, example in enumerate(examples)]
            drawn = [_random_words([str(own[field]) for own in values], generator) for field in fields]
            rows = [dict(zip(fields, texts, strict=True)) for texts in zip(*drawn, strict=True)]
            return fit_bias(score(rows), method)
        case "pmi":
            alone = replace(prompt, template=domain_template(prompt.template)).bind(bound.scorer.backbone)
            found = alone.label_scores(alone.encode([{}]), [TrainedParts(None, parts.head)])[0].double().numpy()
            return fit_bias(found, method)
        case "batch":
            return fit_bias(scores(), method)
        case "prototypical":
            return fit_mixture(scores(), seed)
        case _:
            return fit_temperature(scores(), targets)


def _random_words(texts: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Texts for one field; an optional field may be empty in all examples."""
    return domain_texts(texts, generator, COUNT) if any(text.strip() for text in texts) else [""] * COUNT
