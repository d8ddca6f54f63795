"""The prompt: template, label words and trained tensors, saved and loaded as one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze import calibration as calibrations
from softcloze import verbalizer as verbalizers
from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.demonstrations import Demonstrations, demonstrations_from_dict, demonstrations_to_dict
from softcloze.encoding import Demonstration
from softcloze.errors import ArtifactError
from softcloze.files import replacing_folder, validate_replaceable
from softcloze.prompt.card import CARD, read_card, read_saved_file, write_card
from softcloze.template import Template
from softcloze.verbalizer import VERBALIZERS, AnyVerbalizer

VECTORS = "vectors.safetensors"
POOL = "demonstrations/vectors"  # with a "/", no soft block can have this name
HEAD = "head/"


@dataclass(frozen=True)
class Prompt:
    """A template, its label words and its soft vectors, for one backbone.

    Attributes:
        template: the template.
        verbalizer: labels and their words.
        model: the backbone's name.
        fingerprint: its `Backbone.fingerprint`.
        vectors: block key -> soft vectors, shape (count, width), float32.
        head: how label scores are computed: one of `softcloze.heads.HEADS`.
        head_tensors: trained tensors of the head, by name; empty for "words".
        max_length: limit in tokens that prompts are truncated to, or None for the model's own.
        demonstrations: selects demonstrations, where the template has some.
        calibration: correction of the label scores, or None.
        training: settings and history of the training; empty for a hard prompt.
        metrics: measured values, by name.
    """

    template: Template
    verbalizer: AnyVerbalizer
    model: str
    fingerprint: Mapping[str, str]
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    head: str = "words"
    head_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    max_length: int | None = None
    demonstrations: Demonstrations | None = None
    calibration: calibrations.Calibration | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write a folder with `prompt.json` and `vectors.safetensors`, atomically.

        Args:
            path: the folder; an existing folder is replaced if it holds a prompt.

        Raises:
            ArtifactError: `path` exists and is not a saved prompt.
            ParameterError: a transformer selects the demonstrations, which only a pickle could hold.
        """
        folder = Path(path).expanduser()
        validate_replaceable(folder, CARD, "a saved prompt")
        head_tensors = {HEAD + name: tensor for name, tensor in self.head_tensors.items()}
        tensors, demonstrations = {**self.vectors, **head_tensors}, None
        if self.demonstrations is not None:
            demonstrations, pool_vectors = demonstrations_to_dict(self.demonstrations, self.verbalizer.labels)
            if pool_vectors is not None:
                tensors[POOL] = pool_vectors
        vectors = save_tensors(tensors)
        card = {
            "template": str(self.template),
            "verbalizer": {"kind": _kind(self.verbalizer), **self.verbalizer.to_dict()},
            "head": self.head,
            "model": self.model,
            "fingerprint": dict(self.fingerprint),
            "max_length": self.max_length,
            "demonstrations": demonstrations,
            "calibration": self.calibration.to_dict() if self.calibration is not None else None,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "vectors_sha256": sha256(vectors).hexdigest(),
        }
        with replacing_folder(folder) as draft:
            (draft / VECTORS).write_bytes(vectors)
            write_card(draft / CARD, card)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a prompt that `save` wrote.

        Raises:
            ArtifactError: a file is missing, truncated or altered, or was written by a later version; names it.
        """
        folder = Path(path).expanduser()
        card = read_card(folder / CARD, "prompt")
        vectors = read_saved_file(folder / VECTORS, "prompt")
        if sha256(vectors).hexdigest() != card["vectors_sha256"]:
            raise ArtifactError(f"{folder / VECTORS} is truncated or altered: its checksum no longer fits")
        try:
            tensors = load_tensors(vectors)
        except SafetensorError as error:
            raise ArtifactError(f"{folder / VECTORS} is damaged: {error}") from error
        verbalizer = verbalizers.from_dict(card["verbalizer"])
        demonstrations, pool_vectors = card["demonstrations"], tensors.pop(POOL, None)
        if demonstrations is not None:
            demonstrations = demonstrations_from_dict(
                demonstrations, pool_vectors, verbalizer.labels, verbalizer.first_words
            )
        return cls(
            template=Template(card["template"]),
            verbalizer=verbalizer,
            model=card["model"],
            fingerprint=card["fingerprint"],
            vectors={name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD)},
            head=card["head"],
            head_tensors={name.removeprefix(HEAD): tensor for name, tensor in tensors.items() if name.startswith(HEAD)},
            max_length=card["max_length"],
            demonstrations=demonstrations,
            calibration=calibrations.from_dict(card["calibration"]) if card["calibration"] is not None else None,
            training=card["training"],
            metrics=card["metrics"],
        )

    def demonstrations_for(
        self, examples: Sequence[Example], backbone: Backbone
    ) -> Sequence[Sequence[Demonstration]] | None:
        """Demonstrations of each of `examples`; None where the template has none.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        if self.demonstrations is None:
            return None
        values = [self.template.read_fields(example, row) for row, example in enumerate(examples)]
        return self.demonstrations.select(values, backbone)

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """Apply the calibration, if any, to label log-scores in nats, shape (batch, labels)."""
        return self.calibration.apply(scores) if self.calibration is not None else scores

    def validate_backbone(self, backbone: Backbone) -> None:
        """Raise ArtifactError if the prompt belongs to another backbone.

        Raises:
            ArtifactError: a part of the fingerprint differs; shows both values.
        """
        for part, expected in self.fingerprint.items():
            actual = backbone.fingerprint[part]
            if actual != expected:
                raise ArtifactError(
                    f"this prompt belongs to another {part}\n"
                    f"  saved with {self.model}: {expected}\n"
                    f"  found in {backbone.name}: {actual}\n"
                    "load it with the model it was trained on, or fit it again"
                )


def _kind(verbalizer: AnyVerbalizer) -> str:
    # the exact class: a subclass of one kind may be another kind
    return next(kind for kind, verbalizer_class in VERBALIZERS.items() if type(verbalizer) is verbalizer_class)
