"""The JSON card of something saved: sealed with a checksum, and read back only as it was written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from softcloze import verbalizer as verbalizers
from softcloze.errors import ArtifactError
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer

FORMAT = 1
CARD = "prompt.json"


@dataclass(frozen=True, slots=True)
class PromptCard:
    """Facts about a saved prompt that need neither its vectors nor torch.

    Attributes:
        template: the template.
        verbalizer: labels and their words.
        model: the backbone's name.
    """

    template: Template
    verbalizer: AnyVerbalizer
    model: str

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the card in the folder of a saved prompt.

        Raises:
            ArtifactError: as `read_card`.
        """
        card = read_card(Path(path).expanduser() / CARD, "prompt")
        verbalizer = verbalizers.from_dict(card["verbalizer"])
        return cls(Template(card["template"]), verbalizer, card["model"])


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write `card` with the format, our version and a checksum of all that it says."""
    sealed = {"format": FORMAT, "softcloze": version("softcloze"), **card}
    sealed["card_sha256"] = _digest(sealed)
    path.write_text(json.dumps(sealed, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_card(path: Path, what: str) -> dict[str, Any]:
    """What `write_card` wrote for a saved prompt, or `what` it is.

    Raises:
        ArtifactError: it is missing, damaged, altered, or was written by a later version; names it.
    """
    text = read_saved(path, what)
    try:
        card: dict[str, Any] = json.loads(text)
        intact = card.pop("card_sha256") == _digest(card)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error!r}") from error
    if not intact:
        raise ArtifactError(f"{path} was altered since it was saved: its checksum no longer fits")
    if card["format"] != FORMAT:
        raise ArtifactError(
            f"{path} has format {card['format']}, written by softcloze {card['softcloze']}; "
            f"this version reads format {FORMAT}"
        )
    return card


def read_saved(path: Path, what: str) -> bytes:
    """A file in the folder of `what` was saved.

    Raises:
        ArtifactError: it cannot be read; names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path.parent} holds no saved {what}: cannot read {error.filename}") from error


def _digest(card: Mapping[str, Any]) -> str:
    return sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
