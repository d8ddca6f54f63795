"""Initialise the blocks of soft prompts from those of other prompts (prompt transfer)."""

import os
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple, TypeAlias

from softcloze.backbone import Backbone
from softcloze.classifiers.trained import TrainedEstimator
from softcloze.errors import ArtifactError, ParameterError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.parameters import Constraint, one_of
from softcloze.prompt import GeneratorPrompt, Prompt
from softcloze.prompt.folder import saved_folder
from softcloze.prompt.generator_card import GENERATOR_CARD
from softcloze.prompt.hub import HubLocation
from softcloze.prompt.soft_prompt import SoftPrompt
from softcloze.prompt.sources import copied
from softcloze.soft import INITS, SoftVectors
from softcloze.template import Template

AnyPrompt: TypeAlias = str | PathLike[str] | SoftPrompt | TrainedEstimator
"""A prompt, the folder of a saved one, or a fitted classifier or generator."""

SoftInit: TypeAlias = AnyPrompt | Sequence[AnyPrompt] | Mapping[str, AnyPrompt]
"""One of `INITS`, a prompt, several, or a prompt for each of some blocks."""


def soft_init_constraint(*names: str) -> Constraint:
    """The values of `soft_init` of an estimator that takes these of `INITS`."""
    return one_of(*names) | Constraint(
        "a prompt, a fitted classifier or generator, the folder of a saved prompt, a list of these, or a mapping from "
        "blocks to them",
        lambda value: (
            bool(value)
            if isinstance(value, list | tuple | Mapping)
            else isinstance(value, str | PathLike | SoftPrompt | TrainedEstimator)
        ),
    )


class BlockSource(NamedTuple):
    """The prompt that a block starts from.

    Attributes:
        prompt: the prompt.
        name: in messages.
        origin: its folder, if it was loaded from one, or its template.
    """

    prompt: SoftPrompt
    name: str
    origin: str


def resolve_soft_init(
    soft_init: SoftInit, template: Template, inits: Sequence[str] = INITS
) -> str | dict[str, BlockSource]:
    """Resolve `soft_init` to one of `inits`, or to the prompt that each of some blocks starts from.

    Blocks without a name are never shared: "#1" of one template is unrelated to "#1" of another.

    Raises:
        ParameterError: `soft_init` is neither one of `inits` nor prompts or existing folders; a prompt has no block of
            the template, or two have the same one; or an estimator is not fitted.
        ArtifactError: a folder is not a saved prompt, or a damaged one.

    >>> resolve_soft_init("labels", Template("<soft*2 name=task> <text> <mask>"))
    'labels'
    """
    if isinstance(soft_init, str) and soft_init in inits:
        return soft_init
    here = _names(block.key for block in template.blocks)
    if isinstance(soft_init, Mapping):
        for key in soft_init:
            if key not in here:
                has = quoted_list(here) if here else "none"
                raise ParameterError(
                    f"soft_init has a prompt for the block {key!r}, and the blocks with a name in the template are "
                    f"{has}{did_you_mean(str(key), here)}"
                )
        names = {key: f"soft_init[{key!r}]" for key in soft_init}
        prompts = {
            key: _validated(_load(given, names[key], inits), [key], names[key]) for key, given in soft_init.items()
        }
        return {
            key: BlockSource(prompt, names[key], _origin(soft_init[key], prompt)) for key, prompt in prompts.items()
        }
    several = isinstance(soft_init, list | tuple)
    sources: dict[str, BlockSource] = {}
    for i, given in enumerate(soft_init if isinstance(soft_init, list | tuple) else [soft_init]):
        name = f"soft_init[{i}]" if several else "the prompt that soft_init names"
        prompt = _validated(_load(given, f"soft_init[{i}]" if several else "soft_init", inits), here, name)
        for key in _shared(prompt, here):
            if key in sources:
                raise ParameterError(
                    f"{sources[key].name} and {name} both have a soft block {key!r}; say which one it starts "
                    f"from, as in soft_init={{{key!r}: prompt}}"
                )
            sources[key] = BlockSource(prompt, name, _origin(given, prompt))
    return sources


def _load(given: object, name: str, inits: Sequence[str]) -> SoftPrompt:
    """The prompt of one item of soft_init; `name` is that of the item."""
    match given:
        case SoftPrompt():
            return given
        case TrainedEstimator():
            if not hasattr(given, "prompt_"):
                raise ParameterError(f"{name} is a {type(given).__name__} without vectors yet: call its fit first")
            return given.prompt_
        case PathLike():
            return _read(given)
        case str() if HubLocation.parse(given) is not None:
            return _read(given)
        case str() if os.path.isdir(os.path.expanduser(given)):  # noqa: PTH111, PTH112 - Path raises for long names
            return _read(given)
    hint = did_you_mean(given, inits) if isinstance(given, str) else ""
    alone = f"{', '.join(map(repr, inits))}, " if name == "soft_init" else ""
    raise ParameterError(
        f"{name}={given!r}, but it has to be {alone}a prompt, a fitted classifier or generator, or the folder of a "
        f"saved prompt, and that folder does not exist{hint}"
    )


def _read(path: str | PathLike[str]) -> SoftPrompt:
    """The prompt of a classifier or a generator in a folder."""
    folder = saved_folder(path)
    kind = GeneratorPrompt if os.path.lexists(folder / GENERATOR_CARD) else Prompt
    return kind.load(folder)


def _validated(prompt: SoftPrompt, keys: Sequence[str], name: str) -> SoftPrompt:
    """The prompt, which has one of these blocks."""
    if prompt.prefixes:
        raise ParameterError(f"{name} is a prefix of keys and values, which cannot be trained further")
    if not _shared(prompt, keys):
        here, there = (quoted_list(names) if names else "none" for names in (keys, _names(prompt.vectors)))
        raise ParameterError(
            f"no soft block has a name in common with {name}: here {here}, there {there}; give the slots the same name "
            "in both templates, as in <soft*10 name=task>"
        )
    return prompt


def transfer(soft: SoftVectors, sources: Mapping[str, BlockSource], backbone: Backbone) -> SoftVectors:
    """Copy the vectors of blocks from prompts that have them.

    A block that enters at later layers may start from one that does not; its vectors there stay as they are.

    Args:
        soft: the vectors of all blocks.
        sources: key of a block -> the prompt that has its vectors.
        backbone: the model of `soft`.

    Raises:
        ArtifactError: a prompt belongs to another model; names the block.
        ParameterError: a block has another length there, enters at other layers, or depends on a field.

    Source:
        One prompt: SPoT, Vu et al., ACL 2022, arXiv:2110.07904. Several, as blocks for a language and a task: factored
        prompts, Vu et al., EMNLP 2022, arXiv:2205.12647.
    """
    vectors, deep = soft.by_block(), soft.deep_by_block()
    for block in soft.blocks:
        if block.key not in sources:
            continue
        prompt, name, _ = sources[block.key]
        try:
            prompt.validate_backbone(backbone)
        except ArtifactError as error:
            raise ArtifactError(f"soft block {block.key!r} cannot start from {name}: {error}") from error
        other = next(other for other in prompt.template.blocks if other.key == block.key)
        if other.from_ is not None:
            raise ParameterError(
                f"soft block {block.key!r} depends on the field {other.from_!r} (from=) in {name}, and its network "
                "starts no other prompt; continue that prompt with warm_start=True, or give the block another name"
            )
        length = len(prompt.vectors[block.key])
        if length != block.count:
            raise ParameterError(
                f"soft block {block.key!r} has {block.count} vectors, but {length} in {name}; "
                f"write <soft*{length} name={block.key}>"
            )
        vectors[block.key] = prompt.vectors[block.key]
        if block.key in prompt.deep:
            if other.layers != block.layers:
                raise ParameterError(
                    f"soft block {block.key!r} enters at layers {block.layers}, but at {other.layers} in {name}; "
                    f"write <soft*{length} name={block.key} layers={other.layers}>"
                )
            deep[block.key] = prompt.deep[block.key]
    return SoftVectors.from_blocks(soft.blocks, vectors, deep)


def start_record(
    soft_init: SoftInit, starts: str | Mapping[str, BlockSource], continued: SoftPrompt | None
) -> dict[str, Any]:
    """The start of soft vectors, for the record of a training.

    Args:
        soft_init: as it was given.
        starts: the result of `resolve_soft_init`.
        continued: the prompt whose vectors a warm start continues; None for other starts.
    """
    record: dict[str, Any] = {}
    if isinstance(soft_init, str | PathLike):
        record["soft_init"] = str(soft_init)
    if continued is not None:
        sources = continued.training.get("sources", {})
    else:
        blocks = starts if isinstance(starts, Mapping) else {}
        sources = {key: copied(source.origin, source.prompt.vectors[key]) for key, source in blocks.items()}
    return record | ({"sources": sources} if sources else {})


def _origin(given: AnyPrompt, prompt: SoftPrompt) -> str:
    """The folder of a prompt, or its template."""
    return os.fspath(given) if isinstance(given, str | PathLike) else str(prompt.template)


def _shared(prompt: SoftPrompt, keys: Sequence[str]) -> list[str]:
    return [key for key in _names(prompt.vectors) if key in keys]


def _names(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.startswith("#")]
