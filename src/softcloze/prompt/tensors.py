"""Tensors of a saved folder: reading them, and checking them against declared shapes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from softcloze.errors import ArtifactError
from softcloze.formatting import quoted_list
from softcloze.prompt.folder import SavedFolder

VECTORS = "vectors.safetensors"
# a name in a shape stands for one size in all tensors
Shape: TypeAlias = tuple[int | str, ...]
LINEAR: dict[str, Shape] = {"weight": ("labels", "state"), "bias": ("labels",)}


def tensor_file(suffix: str) -> str:
    """The name of the file of tensors, with the suffix that `SavedFolder.write` gives.

    >>> tensor_file("-0a1b")
    'vectors-0a1b.safetensors'
    """
    return VECTORS.replace(".", f"{suffix}.")


def read_tensors(kind: SavedFolder, folder: Path, card: Mapping[str, Any]) -> tuple[Path, dict[str, Tensor]] | None:
    """Read the only file that a card names, of tensors; None if another process has replaced the card since.

    Raises:
        ArtifactError: the card names other files, or the file is missing, damaged or altered.
    """
    if len(card["files"]) != 1:
        raise ArtifactError(
            f"{folder / kind.card} is damaged: it names {len(card['files'])} files; expected one of vectors"
        )
    path = folder / str(next(iter(card["files"])))
    try:
        return path, parse_tensors(kind.read_file(folder, card, path.name), path)
    except ArtifactError:
        if kind.read(folder) == card:
            raise
        return None


def parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """Parse the content of a safetensors file; raise ArtifactError, which names the path, if it is damaged."""
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    return tensors


def check_tensors(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Shape],
    labels: int | None = None,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> str | None:
    """Check that tensors are finite numbers of declared shapes; return the first problem, or None.

    Args:
        tensors: by name.
        expected: the shape of each.
        labels: the size "labels"; None where no shape has it.
        dtypes: the types that they may have.
    """
    if tensors.keys() != expected.keys():
        return f"it has the tensors {quoted_list(sorted(tensors))}; expected {quoted_list(sorted(expected))}"
    sizes = {"labels": labels} if labels is not None else {}
    for name, shape in expected.items():
        tensor = tensors[name]
        fits = tensor.dim() == len(shape) and all(
            size == (sizes.setdefault(axis, size) if isinstance(axis, str) else axis)
            for size, axis in zip(tensor.shape, shape, strict=True)
        )
        if not fits or tensor.dtype not in dtypes or not tensor.numel():
            types = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            shapes = ", ".join(str(sizes.get(axis, axis)) if isinstance(axis, str) else str(axis) for axis in shape)
            return f"tensor {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}; expected {types} of ({shapes})"
        if not tensor.isfinite().all():
            return f"tensor {name!r} holds values that are not finite"
    return None
