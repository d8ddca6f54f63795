"""Learn a calibration for a prompt, from content-free inputs or from examples, and a bias before a training."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from softcloze.calibration import (
    Calibration,
    content_free,
    domain_texts,
    fit_bias,
    fit_labels_bias,
    fit_mixture,
    fit_temperature,
)
from softcloze.calibration.bias import agrees
from softcloze.calibration.content_free import COUNT
from softcloze.calibration.metrics import log_loss
from softcloze.data import Example
from softcloze.errors import ParameterError
from softcloze.prompt import BoundPrompt, CompiledPrompt
from softcloze.template import domain_template
from softcloze.training import TrainingTask

SAMPLE = 256  # training examples whose scores have the bias that a training leaves out
WITHOUT_EXAMPLES = ("contextual", "pmi")  # learnt from the model and the prompt alone
WITH_LABELS = ("labels", "temperature")  # learnt from labelled examples


def learn_calibration(
    method: str,
    bound: BoundPrompt,
    *,
    examples: Sequence[Example],
    scores: Callable[[], NDArray[np.float64]],
    targets: Sequence[int],
    weights: NDArray[np.float64] | None = None,
    seed: int,
) -> Calibration:
    """Learn the calibration `method` for a prompt.

    Args:
        method: one of `CALIBRATIONS`.
        bound: the prompt on its backbone, without calibration.
        examples: texts of the domain, for "domain".
        scores: computes label log-scores in nats, shape (batch, labels): of `examples` for "batch", "labels" and
            "prototypical", of held-out examples for "temperature".
        targets: index of the label of each row of `scores`, for "labels" and "temperature".
        weights: weight of each row, for "labels" and "temperature"; None for equal ones.
        seed: seed of random texts and of clusters.

    Raises:
        ParameterError: too few examples; or for "pmi" anything but words between masks.
        EncodingError: for "pmi" no words around the mask.
    """
    prompt = bound.prompt
    fields = prompt.template.fields
    if prompt.template.lists and method in ("contextual", "domain"):
        raise ParameterError(
            f"calibration={method!r} fills all fields with texts without content, and {prompt.template.lists[0]!r}, "
            "which <options> shows, holds a list of choices; give calibration='batch', which reads the examples"
        )
    match method:
        case "contextual":
            return fit_bias(bound.scores(content_free(prompt.template)), method)
        case "domain":
            generator = np.random.default_rng(seed)
            values = [prompt.template.read_fields(example, row) for row, example in enumerate(examples)]
            texts = [_random_words([str(row[field]) for row in values], generator) for field in fields]
            rows: list[Mapping[str, str]] = [dict(zip(fields, row, strict=True)) for row in zip(*texts, strict=True)]
            return fit_bias(bound.scores(rows), method)
        case "pmi":
            alone = replace(prompt, template=domain_template(prompt.template), vectors={}, demonstrations=None)
            return fit_bias(BoundPrompt(alone, bound.backbone).scores([{}]), method)
        case "batch":
            return fit_bias(scores(), method)
        case "labels":
            return fit_labels_bias(scores(), targets, weights)
        case "prototypical":
            return fit_mixture(scores(), seed)
        case _:
            return fit_temperature(scores(), targets, weights)


def starting_bias(compiled: CompiledPrompt, task: TrainingTask, seed: int, *, slight: bool) -> list[float] | None:
    """The bias of label words before a training, which leaves it out.

    With it a training spends its first steps, or all of them, on the labels whose words the model hardly ever writes.
    Words that are wrong about the examples have no bias that is worth leaving out.

    Args:
        compiled: template and label words on the model.
        task: the task, with the initial vectors.
        seed: of the `SAMPLE` examples that are scored.
        slight: True for any bias, False for one that leaves the words worse than equal probabilities of the labels.

    Returns:
        Nats for each label; None if the words say nothing about the labels, or have no such bias.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(task.prompts))[:SAMPLE]).tolist()
    features = compiled.features([task.prompts[i] for i in rows], task.soft)
    scores, right = task.label_scores(features).double().numpy(), np.asarray(task.classes)[rows]
    weights = task.weights[rows].numpy() if task.weights is not None else None
    if not np.isfinite(scores).all() or not agrees(scores, right, weights):
        return None
    if not slight and log_loss(scores, right, weights) <= math.log(len(scores[0])):
        return None
    # in thousandths, so that the rounding of scores, which depends on batches and compilation, changes no training
    return [round(nats, 3) for nats in fit_labels_bias(scores, right, weights).bias]


def _random_words(texts: Sequence[str], generator: np.random.Generator) -> list[str]:
    """`COUNT` random texts for one field; empty ones if it is empty in all examples, as an optional field may be."""
    return domain_texts(texts, generator, COUNT) if any(text.strip() for text in texts) else [""] * COUNT
