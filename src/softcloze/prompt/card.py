"""The JSON card of a saved prompt or ensemble, sealed with a checksum."""

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

FORMAT = 2
CARD = "prompt.json"


@dataclass(frozen=True, slots=True)
class PromptCard:
    """Facts about a saved prompt, read without its vectors and without torch.

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
    """Write `card` to the file `path`, with the format, the version of softcloze and a checksum of its content."""
    sealed = {"format": FORMAT, "softcloze": version("softcloze"), **card}
    sealed["card_sha256"] = _digest(sealed)
    path.write_text(json.dumps(sealed, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_card(path: Path, kind: str) -> dict[str, Any]:
    """Read a card that `write_card` wrote.

    Args:
        path: the file.
        kind: what was saved, for messages: "prompt" or "ensemble".

    Raises:
        ArtifactError: the file is missing, damaged or altered, or was written by a later version; names it.
    """
    text = read_saved_file(path, kind)
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


def read_saved_file(path: Path, kind: str) -> bytes:
    """Read a file in the folder of a saved `kind`.

    Raises:
        ArtifactError: the file cannot be read; names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path.parent} is not a saved {kind}: cannot read {error.filename}") from error


def _digest(card: Mapping[str, Any]) -> str:
    return sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
