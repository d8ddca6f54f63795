"""The prompt: what is trained, saved, versioned and shared."""

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
from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.demonstrations import Demonstrations, pack, unpack
from softcloze.encoding import Demonstration
from softcloze.errors import ArtifactError
from softcloze.files import replacing_folder
from softcloze.heads import load_head
from softcloze.prompt.bound import BoundPrompt, TrainedParts
from softcloze.prompt.card import CARD, read_card, read_saved, write_card
from softcloze.soft import SoftVectors
from softcloze.template import Template
from softcloze.verbalizer import KINDS, AnyVerbalizer

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
        fingerprint: what `Backbone.fingerprint` gave for it.
        vectors: block key -> soft vectors, shape (count, width), float32.
        head: how label scores are read: one of `softcloze.heads.HEADS`.
        head_tensors: what the head learnt, by name; empty for "words".
        max_length: the limit in tokens that prompts were cut to, or None for the model's own.
        demonstrations: what chooses demonstrations, where the template shows some.
        calibration: what corrects the label scores, if anything does.
        training: settings and history of the training; empty for a hard prompt.
        metrics: whatever was measured with it, by name.
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
        """Write a folder with `prompt.json` and `vectors.safetensors`, all at once.

        Args:
            path: the folder; one that is there already is replaced if it holds a prompt.

        Raises:
            ArtifactError: something else is at `path`.
            ParameterError: a transformer chooses the demonstrations, which only a pickle could hold.
        """
        folder = Path(path).expanduser()
        if folder.exists() and not (folder / CARD).is_file():
            raise ArtifactError(f"{folder} is there already and holds no prompt; choose another place")
        tensors, shown = {**self.vectors, **{HEAD + name: own for name, own in self.head_tensors.items()}}, None
        if self.demonstrations is not None:
            shown, pool_vectors = pack(self.demonstrations, self.verbalizer.labels)
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
            "demonstrations": shown,
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
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing, truncated or altered, or was written by a later version; names it.
        """
        folder = Path(path).expanduser()
        card = read_card(folder / CARD, "prompt")
        vectors = read_saved(folder / VECTORS, "prompt")
        if sha256(vectors).hexdigest() != card["vectors_sha256"]:
            raise ArtifactError(f"{folder / VECTORS} is truncated or altered: its checksum no longer fits")
        try:
            tensors = load_tensors(vectors)
        except SafetensorError as error:
            raise ArtifactError(f"{folder / VECTORS} is damaged: {error}") from error
        verbalizer = KINDS[card["verbalizer"]["kind"]].from_dict(card["verbalizer"])
        shown, pool_vectors = card["demonstrations"], tensors.pop(POOL, None)
        return cls(
            template=Template(card["template"]),
            verbalizer=verbalizer,
            model=card["model"],
            fingerprint=card["fingerprint"],
            vectors={name: own for name, own in tensors.items() if not name.startswith(HEAD)},
            head=card["head"],
            head_tensors={name.removeprefix(HEAD): own for name, own in tensors.items() if name.startswith(HEAD)},
            max_length=card["max_length"],
            demonstrations=unpack(shown, pool_vectors, verbalizer.labels, verbalizer.first_words) if shown else None,
            calibration=calibrations.from_dict(card["calibration"]) if card["calibration"] is not None else None,
            training=card["training"],
            metrics=card["metrics"],
        )

    def bind(self, backbone: Backbone) -> "BoundPrompt":
        """Template and label words on `backbone`; raises what `BoundPrompt` does."""
        return BoundPrompt(self.template, self.verbalizer, backbone, self.max_length, self.head)

    def parts(self, bound: "BoundPrompt") -> "TrainedParts":
        """What the prompt learnt, in the order in which `bound` reads it."""
        soft = None
        if bound.compiled.blocks:
            soft = SoftVectors.from_blocks(bound.compiled.blocks, self.vectors).to(bound.scorer.backbone.device)
        return TrainedParts(soft, load_head(self.head, self.verbalizer, self.head_tensors))

    def demonstrations_for(
        self, examples: Sequence[Example], backbone: Backbone
    ) -> Sequence[Sequence[Demonstration]] | None:
        """What is shown with each of `examples`; None where the template shows nothing.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        if self.demonstrations is None:
            return None
        values = [self.template.read_fields(example, row) for row, example in enumerate(examples)]
        return self.demonstrations.of_inputs(values, backbone)

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """Label log-scores in nats, shape (batch, labels), as the calibration corrects them where there is one."""
        return self.calibration.apply(scores) if self.calibration is not None else scores

    def check_backbone(self, backbone: Backbone) -> None:
        """Refuse a backbone that the vectors were not trained for.

        Raises:
            ArtifactError: shows both fingerprints.
        """
        for part, expected in self.fingerprint.items():
            found = backbone.fingerprint[part]
            if found != expected:
                raise ArtifactError(
                    f"this prompt belongs to another {part}\n"
                    f"  saved with {self.model}: {expected}\n"
                    f"  found in {backbone.name}: {found}\n"
                    "load it with the model it was trained on, or fit it again"
                )


def _kind(verbalizer: AnyVerbalizer) -> str:
    # a subclass may be a kind of its own
    return next(kind for kind, of_kind in KINDS.items() if type(verbalizer) is of_kind)
