"""Features of examples in a folder, so that an interrupted automatic choice resumes where it stopped."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.files import expand_user, replacing_file
from softcloze.prompt import CompiledPrompt

NAME = "features"


class FeatureStore:
    """Features that were computed for encoded examples, a file for each template and round.

    A file is named after all that its features depend on: the weights of the model, the tokens of the examples and of
    the label words, and the state that is taken. Thus a file of another choice is never used for this one.
    """

    def __init__(self, folder: str | Path | None):
        """Use this folder; None to keep nothing."""
        self._folder = expand_user(folder) if folder is not None else None

    def features(self, compiled: CompiledPrompt, encoded: Sequence[EncodedPrompt]) -> Tensor:
        """Features of encoded examples without soft vectors, as `CompiledPrompt.features`, from a file if there is one.

        A file that is damaged is written anew.

        Raises:
            FileError: the file cannot be written.
        """
        if self._folder is None or not encoded:
            return compiled.features(encoded, None)
        path = self._folder / f"{NAME}-{_digest(compiled, encoded)[:32]}.safetensors"
        kept = _read(path, (len(encoded), compiled.scorer.n_features))
        if kept is None:
            kept = compiled.features(encoded, None)
            with replacing_file(path) as draft:
                save_file({NAME: kept.contiguous()}, draft)
        return kept


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """The features in a file, of the shape (examples, features); None if there is no such file or it is damaged."""
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
