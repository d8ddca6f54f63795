"""Features of examples in a folder, so that an interrupted automatic choice resumes where it stopped."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.files import expand_user, replacing_file
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import Member, score_together

NAME = "features"


class EncodedPart(NamedTuple):
    """Examples as a prompt encodes them."""

    compiled: CompiledPrompt
    encoded: Sequence[EncodedPrompt]


class FeatureStore:
    """Features that were computed for encoded examples, a file for each template and round.

    A file is named after all that its features depend on: the weights of the model, the tokens of the examples and of
    the label words, and the state that is taken. Thus a file of another choice is never used for this one.
    """

    def __init__(self, folder: str | Path | None):
        """Use this folder; None to keep nothing."""
        self._folder = expand_user(folder) if folder is not None else None

    def features(self, parts: Sequence[EncodedPart]) -> list[Tensor]:
        """Features of examples by several prompts without soft vectors, each from a file if there is one.

        The others are computed together, so that prompts of the same ids share forward passes. A file that is damaged
        is written anew.

        Raises:
            FileError: a file cannot be written.
        """
        paths = [self._path(part) for part in parts]
        kept = [_read(path, part) if path is not None else None for path, part in zip(paths, parts, strict=True)]
        computed = iter(_computed([part for part, features in zip(parts, kept, strict=True) if features is None]))
        results = []
        for path, known in zip(paths, kept, strict=True):
            features = known if known is not None else next(computed)
            if known is None and path is not None:
                with replacing_file(path) as draft:
                    save_file({NAME: features.contiguous()}, draft)
            results.append(features)
        return results

    def _path(self, part: EncodedPart) -> Path | None:
        """The file of these features; None if they are not kept."""
        if self._folder is None or not part.encoded:
            return None
        return self._folder / f"{NAME}-{_digest(*part)[:32]}.safetensors"


def _computed(parts: Sequence[EncodedPart]) -> list[Tensor]:
    """Features of each part, on the CPU, shape (examples, features)."""
    if not parts:
        return []
    with parts[0].compiled.backbone.frozen():
        return score_together([Member(part.compiled.scorer, part.encoded, None) for part in parts])


def _read(path: Path, part: EncodedPart) -> Tensor | None:
    """The features of a part in a file, shape (examples, features); None if there is no such file or it is damaged."""
    shape = (len(part.encoded), part.compiled.scorer.n_features)
    try:
        features = load_file(path).get(NAME)
    except (SafetensorError, OSError, ValueError, RuntimeError):
        return None
    return features if features is not None and tuple(features.shape) == shape else None


def _digest(compiled: CompiledPrompt, encoded: Sequence[EncodedPrompt]) -> str:
    """Digest of all that the features of these prompts depend on."""
    scorer = compiled.scorer
    parts = (
        sorted(compiled.backbone.fingerprint.items()),
        str(compiled.backbone.model.dtype),
        (scorer.words, scorer.lengths, scorer.normalised, scorer.states, scorer.states_of, type(scorer.plan).__name__),
        [(prompt.chunks, prompt.token_type_ids, prompt.field_positions) for prompt in encoded],
    )
    return sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def remove_features(folder: Path) -> None:
    """Remove the files of a store, and the folder if it is empty then."""
    for path in folder.glob(f"{NAME}-*.safetensors"):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
