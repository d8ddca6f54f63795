"""The probe: a linear layer on sentence embeddings, saved and loaded as one folder, and bound to its encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from scipy.special import softmax
from torch import Tensor

from softcloze.calibration.scores import non_finite_rows
from softcloze.data import Example
from softcloze.embeddings import AnyEncoder, SentenceEncoder, load_encoder
from softcloze.errors import ArtifactError, BackboneError, NonFiniteError, StarterError
from softcloze.prompt.folder import Content, SavedFolder
from softcloze.prompt.probe_card import CARD, PROBE, ProbeCard, describe_probe
from softcloze.prompt.tensors import LINEAR, check_tensors, read_tensors, tensor_file
from softcloze.template import template_of_fields
from softcloze.verbalizer import Label


@dataclass(frozen=True)
class Probe:
    """A linear layer on the sentence embeddings of one encoder.

    Attributes:
        labels: the labels, in the order of the scores.
        fields: the fields of an example, whose values are embedded as one text, a line for each.
        encoder: the name of the encoder.
        fingerprint: its `SentenceEncoder.fingerprint`.
        max_length: its limit of a text in tokens.
        weight: weight vectors of the labels, shape (labels, width), float32.
        bias: added to each label's score, shape (labels,), float32.
        training: settings of the fit.
        kind: the kind of folder that holds it.
        head: its head, named as those of a prompt.
        features: what the head takes.
        vectors: soft vectors, of which it has none.

    Source:
        Linear probes of frozen representations: Alain and Bengio 2016, arXiv:1610.01644.
    """

    kind: ClassVar[SavedFolder] = PROBE
    head: ClassVar[str] = "linear"
    features: ClassVar[str] = "embedding"
    vectors: ClassVar[Mapping[str, Tensor]] = {}

    labels: tuple[Label, ...]
    fields: tuple[str, ...]
    encoder: str
    fingerprint: Mapping[str, Any] = field(repr=False)
    max_length: int
    weight: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def description(self) -> str:
        """The fields and the encoder."""
        return describe_probe(self.fields, self.encoder)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a folder with `probe.json` and a file of weights, as `Prompt.save`.

        Raises:
            ArtifactError: `path` holds other files and no probe, or a value is not finite or of the wrong type.
            FileError: the folder cannot be written.
        """
        PROBE.write(path, self.content)

    def content(self, suffix: str = "") -> Content:
        """The content of the folder, with `suffix` in the name of the file of weights."""
        tensors = {"weight": self.weight, "bias": self.bias}
        card = {
            "labels": list(self.labels),
            "fields": list(self.fields),
            "encoder": self.encoder,
            "fingerprint": dict(self.fingerprint),
            "max_length": self.max_length,
            "training": dict(self.training),
        }
        if problem := check_tensors(tensors, LINEAR, len(self.labels)):
            raise ArtifactError(f"this probe cannot be saved: {problem}")
        return Content(card, {tensor_file(suffix): save_tensors(tensors)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load a probe that `save` wrote, from its folder or from hf://USER/NAME@REVISION on a hub.

        Raises:
            ArtifactError: `path` is not a saved probe, or a file is missing, damaged or altered, or has another
                format; names the file.
        """
        folder, card, labels, _ = ProbeCard.load(path)
        file = read_tensors(PROBE, folder, card)
        if file is None:
            return cls.load(path)
        tensors_path, tensors = file
        if problem := check_tensors(tensors, LINEAR, len(labels)):
            raise ArtifactError(f"{tensors_path} is damaged: {problem}")
        return cls(
            labels=labels,
            fields=tuple(card["fields"]),
            encoder=card["encoder"],
            fingerprint=card["fingerprint"],
            max_length=card["max_length"],
            training=card["training"],
            **tensors,
        )

    def load_encoder(self, encoder: AnyEncoder | None = None) -> SentenceEncoder:
        """Load the encoder of the probe.

        Args:
            encoder: as for `softcloze.embeddings.load_encoder`; None for the one that the probe names.

        Raises:
            ArtifactError: it is another encoder, or cannot be loaded.
        """
        try:
            loaded = load_encoder(encoder if encoder is not None else self.encoder)
            loaded = loaded if loaded.max_length == self.max_length else loaded.shortened(self.max_length)
        except (BackboneError, StarterError) as error:
            raise ArtifactError(
                f"the sentence encoder {self.encoder!r}, which {CARD} names, cannot be loaded; if it moved, give its "
                f"name or path now as encoder\n{error}"
            ) from error
        for part, actual in loaded.fingerprint.items():
            expected = self.fingerprint.get(part)
            if actual != expected:
                raise ArtifactError(
                    f"this probe belongs to another encoder: its {part} differs\n"
                    f"  saved with {self.encoder}: {expected}\n"
                    f"  found in {loaded.name}: {actual}\n"
                    "load it with the encoder it was fitted on, or fit it again"
                )
        if self.weight.shape[1] != loaded.width:
            raise ArtifactError(
                f"the weights of this probe have width {self.weight.shape[1]}, and {loaded.name} has {loaded.width}"
            )
        return loaded


class ProbeText(NamedTuple):
    """The text of an example, for an encoder.

    Attributes:
        text: the values of its fields, a line for each.
        cut: tokens that the encoder cuts from its end, under the name of the last field; empty for none.
        dropped: 0, as a probe has no demonstrations.
    """

    text: str
    cut: Mapping[str, int]
    dropped: int = 0


class BoundProbe:
    """A probe with its encoder, which scores any number of examples.

    Attributes:
        saved: the probe.
        encoder: its encoder.
    """

    def __init__(self, probe: Probe, encoder: SentenceEncoder):
        """Take a probe and the encoder that it was fitted on."""
        self.saved = probe
        self.encoder = encoder

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of their scores."""
        return self.saved.labels

    def answer(self, example: Example, index: int) -> Label:
        """The label of an example by its index."""
        return self.labels[index]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return self.saved.fields

    @cached_property
    def _linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.saved.weight.double().numpy(), self.saved.bias.double().numpy()

    def encode(self, examples: Sequence[Example]) -> list[ProbeText]:
        """The texts of examples.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        texts = field_texts(self.fields, examples)
        last = self.fields[-1]
        return [
            ProbeText(text, {last: cut} if cut else {})
            for text, cut in zip(texts, self.encoder.count_cut(texts), strict=True)
        ]

    def score_encoded(self, encoded: Sequence[ProbeText]) -> NDArray[np.float64]:
        """Label scores of texts in nats, shape (batch, labels), each row up to a constant.

        Raises:
            NonFiniteError: the embedding of a text is NaN or infinite; names the row.
        """
        return self.scores_of(self.encoder.embed([item.text for item in encoded]))

    def scores_of(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Label scores, shape (batch, labels), of embeddings, shape (batch, width); raises as `score_encoded`."""
        weight, bias = self._linear
        scores: NDArray[np.float64] = embeddings.astype(np.float64) @ weight.T + bias
        if rows := non_finite_rows(scores):
            raise NonFiniteError(f"the embeddings of {self.encoder.name!r} are not finite", rows, len(scores))
        return scores

    def predict_encoded(self, encoded: Sequence[ProbeText]) -> NDArray[np.float64]:
        """Probabilities of the labels of texts, shape (batch, labels); raises as `score_encoded`."""
        probabilities: NDArray[np.float64] = softmax(self.score_encoded(encoded), axis=1)
        return probabilities


def field_texts(fields: Sequence[str], examples: Sequence[Example]) -> list[str]:
    r"""The values of some fields of each example as one text, a line for each value.

    Raises:
        FieldError: an example lacks a field; names the row.

    >>> field_texts(["title", "stars"], [{"title": "Dull", "stars": 1}])
    ['Dull\n1']
    """
    template = template_of_fields(fields)
    values = (template.read_fields(example, row) for row, example in enumerate(examples))
    return ["\n".join(str(read[name]) for name in fields) for read in values]
