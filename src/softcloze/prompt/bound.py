"""A prompt bound to a backbone: the path from examples to label scores."""

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from softcloze.backbone import Backbone, shared_prefix
from softcloze.data import Example
from softcloze.demonstrations import FixedDemonstrations
from softcloze.encoding import Demonstration, EncodedPrompt
from softcloze.errors import SoftclozeError
from softcloze.heads import Head, load_head
from softcloze.prompt.card import explain_misfit
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.soft_prompt import bind_vectors, validate_after_prefix
from softcloze.soft import SoftVectors
from softcloze.verbalizer import FieldVerbalizer, Label


class TrainedParts(NamedTuple):
    """The trained parts of a prompt: its soft vectors, None where the template has none, and its head."""

    soft: SoftVectors | None
    head: Head


class BoundPrompt:
    """A prompt compiled for its backbone, which scores any number of examples.

    Attributes:
        prompt: the prompt.
        compiled: its template and label words, compiled for the backbone.
        parts: its soft vectors and its head.

    Example:
        >>> from softcloze import Prompt, Template, Verbalizer, load_backbone
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
        >>> BoundPrompt(prompt, backbone).scores(["A delight.", "A bore."]).shape
        (2, 2)
    """

    def __init__(self, prompt: Prompt, backbone: Backbone, compiled: CompiledPrompt | None = None):
        """Compile the prompt for `backbone`.

        Args:
            prompt: a hard prompt, or a trained one; `Prompt.validate_backbone` checks that it belongs to `backbone`.
            backbone: the model.
            compiled: its template and label words, if they are compiled already.

        Raises:
            ParameterError: the vectors of a soft slot are missing, or the head does not fit the template.
            EncodingError: a label word is unknown to the vocabulary.
            VerbalizerError: label words that do not fit the vocabulary, the template or the head.
        """
        self.prompt = prompt
        if compiled is None:
            compiled = CompiledPrompt(
                prompt.template,
                prompt.verbalizer,
                backbone,
                prompt.max_length,
                prompt.head,
                prompt.chat_options,
                prompt.features,
            )
        self.compiled = compiled
        soft = bind_vectors(prompt, compiled.template.blocks, backbone)
        self.parts = TrainedParts(soft, load_head(prompt.head, prompt.verbalizer, prompt.head_tensors))

    @classmethod
    def from_saved(cls, prompt: Prompt, backbone: Backbone) -> Self:
        """Bind a prompt that was loaded.

        Raises:
            ArtifactError: it belongs to another model, or does not fit its own, as after an edit of its files.
        """
        prompt.validate_backbone(backbone)
        with explain_misfit(prompt.kind.kind, backbone.name):
            return cls(prompt, backbone)

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.compiled.backbone

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of their scores."""
        return tuple(self.prompt.verbalizer.labels)

    def answer(self, example: Example, index: int) -> Label:
        """The label of an example by its index: one of `labels`, or the choice itself if the verbalizer says so."""
        verbalizer = self.prompt.verbalizer
        return verbalizer.answer(example, index) if isinstance(verbalizer, FieldVerbalizer) else self.labels[index]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return self.prompt.template.fields

    @property
    def saved(self) -> Prompt:
        """The prompt, as a member of an ensemble is saved."""
        return self.prompt

    def encode(self, examples: Sequence[Example]) -> list[EncodedPrompt]:
        """Encode examples, with their demonstrations if the template has any.

        Raises:
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        prompts = self.compiled.encode(examples, self.prompt.demonstrations_for(examples, self.backbone))
        validate_after_prefix(self.prompt, prompts)
        return prompts

    @cached_property
    def start(self) -> tuple[int, ...]:
        """The ids with which the prompt of every example begins: words, soft slots and fixed demonstrations.

        Examples with a first character that joins the last of them begin with fewer. Empty where the text comes first,
        or where Jinja takes no text.
        """
        template, demonstrations = self.compiled.template.template, self.prompt.demonstrations
        examples = [
            {name: [text, text * 2] if name in template.lists else text for name in template.fields}
            for text in ("a", "0 b")
        ]
        selected: list[list[Demonstration]] | None = None
        if isinstance(demonstrations, FixedDemonstrations):
            selected = demonstrations.select(examples, self.backbone)
        elif demonstrations is not None:  # they follow the input
            selected = [[], demonstrations.pool.demonstrations([0])]
        try:
            one, other = self.compiled.template.encode(examples, demonstrations=selected)
        except SoftclozeError:
            return ()
        ids = one.left[: shared_prefix([one.left, other.left])]
        soft = self.parts.soft.inputs() if self.parts.soft is not None else None
        if soft is not None and soft.late:  # which need the states of the whole prompt
            return ()
        varying = {-1 - row for network in soft.networks for row in network.rows} if soft is not None else ()
        return tuple(takewhile(lambda i: i not in varying, ids))

    def features(self, prompts: Sequence[EncodedPrompt]) -> Tensor:
        """Input of the head, shape (batch, features), on the CPU."""
        return self.compiled.features(prompts, self.parts.soft)

    def validate_features(self, features: Tensor) -> None:
        """Raise NonFiniteError, which names the rows, if features of examples are NaN or infinite."""
        vectors = self.parts.soft.inputs().tensors if self.parts.soft is not None else {}
        self.backbone.validate_scores(features, vectors)

    def label_scores(self, features: Tensor) -> NDArray[np.float64]:
        """Compute label log-scores from features by the head, and apply the calibration, if any.

        Args:
            features: shape (batch, features), as `features` returns them.

        Returns:
            Nats up to a constant per example, shape (batch, labels); log-odds if an example may have several labels.

        Raises:
            NonFiniteError: the scores of an example are NaN or infinite; names the row.
        """
        return self.calibrated(self.parts.head.label_scores(features))

    def calibrated(self, scores: Tensor) -> NDArray[np.float64]:
        """Apply the calibration, if any, to label log-scores of the head; raises and returns as `label_scores`."""
        scores = scores.detach().double()
        tensors = {f"the {name!r} of its head": tensor for name, tensor in self.parts.head.state_dict().items()}
        self.backbone.validate_scores(scores, tensors)
        calibration = self.prompt.calibration
        return calibration.apply(scores.numpy()) if calibration is not None else scores.numpy()

    def scores(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Label log-scores of examples, as `label_scores` returns them; raises as `encode`."""
        return self.label_scores(self.features(self.encode(examples)))

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert label log-scores to probabilities; both have the shape (batch, labels)."""
        return self.parts.head.probabilities(scores)

    def predict_encoded(self, encoded: Sequence[EncodedPrompt]) -> NDArray[np.float64]:
        """Probabilities of the labels of encoded examples, shape (batch, labels); raises as `label_scores`."""
        return self.probabilities(self.label_scores(self.features(encoded)))
