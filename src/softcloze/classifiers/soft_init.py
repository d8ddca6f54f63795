"""Initialise soft prompts from another prompt (prompt transfer)."""

import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from softcloze.backbone import Backbone
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.prompt import Prompt
from softcloze.soft import INITS, SoftVectors

SoftInit: TypeAlias = str | PathLike[str] | Prompt


def resolve_soft_init(soft_init: SoftInit) -> str | Prompt:
    """Resolve `soft_init` to a prompt, or to one of `INITS`.

    Raises:
        ParameterError: `soft_init` is neither one of `INITS` nor a prompt or an existing folder.
        ArtifactError: the folder is not a saved prompt, or a damaged one.

    >>> resolve_soft_init("labels")
    'labels'
    """
    match soft_init:
        case Prompt():
            return soft_init
        case str() if soft_init in INITS:
            return soft_init
        case PathLike():
            return Prompt.load(Path(soft_init))
        case str() if os.path.isdir(os.path.expanduser(soft_init)):  # noqa: PTH111, PTH112 - Path raises for long names
            return Prompt.load(soft_init)
    hint = did_you_mean(soft_init, INITS) if isinstance(soft_init, str) else ""
    raise ParameterError(
        f"soft_init={soft_init!r}, but it has to be {', '.join(map(repr, INITS))}, a Prompt, or the folder of a saved "
        f"prompt, and that folder does not exist{hint}"
    )


def transfer(soft: SoftVectors, source: Prompt, backbone: Backbone) -> SoftVectors:
    """Copy the vectors of `source` to the blocks of `soft` with the same name.

    A block that enters at later layers may start from one that does not; its vectors there stay as they are.

    Blocks without a name are never shared: "#1" of one template is unrelated to "#1" of another.

    Raises:
        ArtifactError: `source` belongs to another model.
        ParameterError: no block has a name in common, or one has another length or enters at other layers.

    Source:
        SPoT: Vu et al., ACL 2022, arXiv:2110.07904.
    """
    source.validate_backbone(backbone)
    vectors, deep = soft.by_block(), soft.deep_by_block()
    layers_of = {block.key: block.layers for block in source.template.blocks}
    shared = [block for block in soft.blocks if block.key in _names(source.vectors)]
    if not shared:
        here, there = (", ".join(map(repr, _names(keys))) or "none" for keys in (vectors, source.vectors))
        raise ParameterError(
            f"no soft block has a name in common with the prompt that soft_init names: here {here}, there {there}; "
            "give the slots the same name in both templates, as in <soft*10 name=task>"
        )
    for block in shared:
        length = len(source.vectors[block.key])
        if length != block.count:
            raise ParameterError(
                f"soft block {block.key!r} has {block.count} vectors, but {length} in the prompt that soft_init names; "
                f"write <soft*{length} name={block.key}>"
            )
        vectors[block.key] = source.vectors[block.key]
        if block.key in source.deep:
            layers = layers_of[block.key]
            if layers != block.layers:
                raise ParameterError(
                    f"soft block {block.key!r} enters at layers {block.layers}, but at {layers} in the prompt that "
                    f"soft_init names; write <soft*{length} name={block.key} layers={layers}>"
                )
            deep[block.key] = source.deep[block.key]
    return SoftVectors.from_blocks(soft.blocks, vectors, deep)


def _names(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.startswith("#")]
