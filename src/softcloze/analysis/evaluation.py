"""Evaluate a fitted prompt on labelled examples."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples
from softcloze.data.labels import target_indices
from softcloze.errors import ParameterError
from softcloze.heads import EXCLUSIVE
from softcloze.prompt import BoundGenerator, BoundPrompt, GeneratorPrompt, Prompt
from softcloze.soft import SoftVectors
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy and log-loss on labelled examples.

    Attributes:
        accuracy: share of examples with the right label.
        log_loss: mean of -log of the right label's probability, in nats.
    """

    accuracy: float
    log_loss: float


class LabelledExamples(NamedTuple):
    """Examples with their labels."""

    examples: list[Example]
    targets: NDArray[np.int64]  # index of the label of each, shape (examples,)


class Evaluation(NamedTuple):
    """Results for each example, of shape (examples,)."""

    right: NDArray[np.bool_]  # whether the predicted label is the right one
    losses: NDArray[np.float64]  # -log of the right label's probability, in nats

    @property
    def score(self) -> Score:
        """Means over all examples."""
        return Score(float(self.right.mean()), float(self.losses.mean()))


def labelled_examples(prompt: Prompt, X: Iterable[Example], y: Iterable[Label]) -> LabelledExamples:
    """Check examples and labels, given as for `PromptClassifier.score`.

    Raises:
        DataError: not one label for each example, none at all, or one that its verbalizer lacks.
        ParameterError: the prompt gives an example several labels.
    """
    if prompt.head not in EXCLUSIVE:
        raise ParameterError("accuracy is for one label an example, and this prompt gives an example several")
    examples = as_examples(X, prompt.template.fields)
    return LabelledExamples(examples, np.array(target_indices(examples, y, prompt.verbalizer.labels)))


def evaluate(bound: BoundPrompt, features: Tensor, targets: NDArray[np.int64]) -> Evaluation:
    """Evaluate examples, given as features, by the head and the calibration of a prompt.

    Args:
        bound: the prompt.
        features: input of its head, shape (rows, features).
        targets: index of the right label of each, shape (rows,).
    """
    scores = bound.label_scores(features)
    losses = -log_softmax(scores, axis=-1)[np.arange(len(targets)), targets]
    return Evaluation(scores.argmax(-1) == targets, losses)


class FittedClassifier(Protocol):
    """A fitted `PromptClassifier`, or any other object with a prompt and its backbone."""

    prompt_: Prompt
    backbone_: Backbone


class Fitted(Protocol):
    """The same, or a fitted `PromptGenerator`."""

    @property
    def prompt_(self) -> Prompt | GeneratorPrompt:
        """The prompt."""

    @property
    def backbone_(self) -> Backbone:
        """Its backbone."""


def soft_prompt_of(clf: FittedClassifier) -> tuple[BoundPrompt, SoftVectors]:
    """Get the prompt of a fitted classifier on its backbone, and its soft vectors.

    Raises:
        NotFittedError: it is not fitted.
        ArtifactError: its prompt belongs to another model.
        ParameterError: it is not such a classifier, or its template has no soft slots.
    """
    bound, soft = soft_vectors_of(clf)
    if isinstance(bound, BoundGenerator):
        raise ParameterError(f"{type(clf).__name__} writes text and has no labels; inspect_soft shows its vectors")
    return bound, soft


def soft_vectors_of(fitted: Fitted) -> tuple[BoundPrompt | BoundGenerator, SoftVectors]:
    """Get the prompt of a fitted classifier or generator on its backbone, and its soft vectors.

    Raises:
        NotFittedError: it is not fitted.
        ArtifactError: its prompt belongs to another model.
        ParameterError: it is neither, or its template has no soft slots.
    """
    if not hasattr(fitted, "prompt_"):
        if not hasattr(fitted, "template"):  # a search or a pipeline, or no classifier at all
            raise ParameterError(f"{type(fitted).__name__} has no prompt to inspect; give a fitted PromptClassifier")
        raise NotFittedError("no trained vectors yet; call fit first, or load a saved prompt")
    prompt, backbone = fitted.prompt_, fitted.backbone_
    prompt.validate_backbone(backbone)
    if not prompt.template.blocks:
        hint = "" if isinstance(prompt, GeneratorPrompt) else "; explain shows the effect of its label words"
        raise ParameterError(f"{str(prompt.template)!r} has no soft slots, so it has no vectors to inspect{hint}")
    if prompt.prefixes:
        raise ParameterError("this prompt is a prefix of keys and values, and has no vectors to inspect")
    if isinstance(prompt, GeneratorPrompt):
        writer = BoundGenerator(prompt, backbone)
        return writer, cast("SoftVectors", writer.soft)
    bound = BoundPrompt(prompt, backbone)
    return bound, cast("SoftVectors", bound.parts.soft)


def vector_positions(soft: SoftVectors) -> list[tuple[str, int]]:
    """The block of each vector and its position in that block, from 1."""
    return [(block.key, position) for block in soft.blocks for position in range(1, block.count + 1)]
