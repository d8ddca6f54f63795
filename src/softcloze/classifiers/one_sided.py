"""Warn of a prompt whose label words favour a label, and propose another one."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softcloze.calibration import content_free, dominant_label, winning_label
from softcloze.calibration.metrics import log_loss
from softcloze.data import Example
from softcloze.errors import OneSidedWarning
from softcloze.heads import WordHead
from softcloze.library import list_templates, load_template
from softcloze.prompt import BoundPrompt
from softcloze.template import Literal, without_slots
from softcloze.training import TrainingTask
from softcloze.verbalizer import FieldVerbalizer, Label, Verbalizer

SAMPLE = 32  # training examples that are scored, where no training has, and without slots
# the hard prompt of a task that was most accurate where more than one was measured: docs/measurements/results.md
MOST_ACCURATE = {"sentiment/en": "sentiment/en-worked", "sentiment/zh": "sentiment/zh-worked"}
CERTAIN = 10.0  # times the odds of chance: 0.91 for one of two labels
NEAR, ENOUGH = 0.25, 16  # share of the way from chance to all right; examples
FAR = 0.5  # nats above the log loss of equal probabilities


def warn_if_one_sided(bound: BoundPrompt, examples: Sequence[Example], task: TrainingTask, seed: int) -> None:
    """Warn if one label wins nearly all training examples, or content-free input while the examples are guessed.

    Warn as well of a soft prompt that its training has left with worse probabilities than equal ones.

    The scores are those of the last steps of the training. A prompt with soft slots is scored without them as well:
    training seldom mends a wording that was one-sided.

    Args:
        bound: the fitted prompt.
        examples: training examples.
        task: the same, encoded, with the scores that their training has seen.
        seed: of the `SAMPLE` examples that are scored, where nothing was trained and without the slots.

    Warns:
        OneSidedWarning: with what to do instead.
    """
    prompt, right = bound.prompt, np.asarray(task.classes)
    sample = np.sort(np.random.default_rng(seed).permutation(len(right))[:SAMPLE]).tolist()
    rows = sorted(task.last_scores)
    # nothing was trained, the head came after the training, or a fit was resumed at its end
    if type(bound.parts.head) is not type(task.head) or len(rows) < len(right) / 2:
        rows = sample
        scores = bound.label_scores(bound.features([task.prompts[i] for i in rows]))
    else:
        last = torch.stack([task.last_scores[row] for row in rows])
        scores = bound.calibrated(last if task.bias is None else last + task.bias)
    fact = describe_one_sided(bound, scores.argmax(1), right[rows])
    if fact is None and task.trains_vectors and isinstance(task.head, WordHead):
        weights = task.weights[rows].numpy() if task.weights is not None else None
        fact = describe_far_words(bound, scores, right[rows], weights)
    as_written = prompt.calibration is None or task.bias is not None
    if fact is None and prompt.template.blocks and as_written and prompt.demonstrations is None:
        hard = without_slots(prompt.template)
        if any(isinstance(node, Literal) and any(map(str.isalpha, node.text)) for node in hard.nodes):
            alone = replace(
                prompt, template=hard, vectors={}, head="words", head_tensors={}, features="mask", calibration=None
            )
            before, empty = BoundPrompt(alone, bound.backbone), _content_free(bound)
            scores = before.scores([*(examples[i] for i in sample), *empty])  # in one pass
            predicted = scores[: len(sample)].argmax(1)
            fact = describe_one_sided(before, predicted, right[sample], scores[len(sample) :])
            fact = f"without its soft slots {fact}" if fact is not None else None
    if fact is not None:
        warnings.warn(f"the prompt {fact}: {_advice(bound, examples[:SAMPLE])}", OneSidedWarning, stacklevel=3)


def describe_one_sided(
    bound: BoundPrompt,
    predicted: NDArray[np.int_],
    right: NDArray[np.int_],
    without_content: NDArray[np.float64] | None = None,
) -> str | None:
    """Describe a label that wins nearly all examples, or content-free input while they are guessed; None without one.

    Args:
        bound: the prompt.
        predicted: index of the label that it gives to each example, shape (examples,).
        right: index of the right one.
        without_content: label scores of content-free input, shape (inputs, labels); None to compute them if needed.
    """
    dominant = dominant_label(predicted, right)
    if dominant is not None:
        label, _ = dominant
        given, have = (int((values == label).sum()) for values in (predicted, right))
        return f"gives {bound.labels[label]!r} to {given} of {len(right)} training examples, and {have} have it"
    if not _is_guessing(predicted, right):
        return None
    winner = _winner(bound, without_content)
    if winner is None:
        return None
    hits = int((predicted == right).sum())
    return (
        f"gives {bound.labels[winner[0]]!r} to an input without content, with probability {winner[1]:.2f}, and "
        f"{hits} of {len(right)} training examples get their label, hardly more than by chance"
    )


def describe_far_words(
    bound: BoundPrompt,
    scores: NDArray[np.floating[Any]],
    right: NDArray[np.int_],
    weights: NDArray[np.floating[Any]] | None,
) -> str | None:
    """Describe label words whose bias a training has not made up for; None without such a bias.

    Args:
        bound: the prompt.
        scores: its label scores of examples, shape (examples, labels).
        right: index of the label of each example, shape (examples,).
        weights: weight of each example, shape (examples,); None for equal ones.
    """
    if bound.prompt.calibration is not None or isinstance(bound.prompt.verbalizer, FieldVerbalizer):
        return None
    loss, chance = log_loss(scores, right, weights), math.log(len(bound.labels))
    if not loss > chance + FAR:
        return None
    return f"gives its training examples a log loss of {loss:.2f} nats, while equal probabilities have {chance:.2f}"


def _is_guessing(predicted: NDArray[np.int_], right: NDArray[np.int_]) -> bool:
    """Return True if balanced accuracy is near chance on examples enough to tell."""
    present = np.unique(right)
    recalls = [float((predicted[right == label] == label).mean()) for label in present]
    chance = 1 / len(present)
    return len(right) >= ENOUGH and float(np.mean(recalls)) < chance + NEAR * (1 - chance)


def _winner(bound: BoundPrompt, scores: NDArray[np.float64] | None) -> tuple[int, float] | None:
    """The label that wins on content-free input with near certainty, by index, and its probability."""
    if scores is None:
        scores = bound.scores(_content_free(bound))
    if not len(scores):
        return None
    priors = bound.probabilities(scores).mean(0)
    winner = winning_label(priors.tolist(), CERTAIN)
    return (winner, float(priors[winner])) if winner is not None else None


def _content_free(bound: BoundPrompt) -> list[dict[str, str]]:
    """Content-free examples; none where each example brings a list of choices, which always has content."""
    prompt = bound.prompt
    if prompt.template.lists or isinstance(prompt.verbalizer, FieldVerbalizer):
        return []
    return content_free(prompt.template)


def _advice(bound: BoundPrompt, examples: Sequence[Example]) -> str:
    """Advice: another prompt of the library by name, a calibration, or a linear layer."""
    prompt, ways = bound.prompt, list[str]()
    if (other := _library_prompt(bound, examples)) is not None:
        template, words = other
        ways.append(f"template={template!r} with verbalizer={words!r}, which the library has for these labels")
    else:
        ways.append("other label words or another wording")
    if prompt.calibration is None:
        ways.append("calibration='batch'")
    return f"try {', '.join(ways)} or head='linear'"


def _library_prompt(bound: BoundPrompt, examples: Sequence[Example]) -> tuple[str, dict[Label, list[str]]] | None:
    """A hard template of the library with words for these labels, if it has one and this prompt is another."""
    from softcloze.label_words.label_names import language_of, like_tables  # its package is slow to import

    prompt = bound.prompt
    if not isinstance(prompt.verbalizer, Verbalizer) or bound.backbone.family != "causal":
        return None
    labels = prompt.verbalizer.labels
    language = language_of([one if isinstance(one, str) else " ".join(map(str, one.values())) for one in examples])
    for names in (labels, prompt.verbalizer.first_words):
        tables = like_tables(names, language)
        for task in dict.fromkeys(table.split("/")[0] for table in tables):
            name = MOST_ACCURATE.get(f"{task}/{language}", f"{task}/{language}")
            card = load_template(name) if name in list_templates() else None
            if card is None or card.verbalizer not in tables or card.template == without_slots(prompt.template):
                continue
            if card.template.fields == prompt.template.fields:
                words = tables[card.verbalizer]
                return name, {label: [*words.label_words()[other]] for label, other in zip(labels, names, strict=True)}
    return None
