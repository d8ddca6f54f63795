"""Sums of the vectors that prompts have learnt (task arithmetic), and the vectors that they started from."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples
from softcloze.encoding import CompiledBlock
from softcloze.errors import ArtifactError, ParameterError
from softcloze.formatting import quoted_list
from softcloze.parameters import NUMBER
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.bound_generator import BoundGenerator
from softcloze.prompt.compiled_generator import CompiledGenerator
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.sources import summed
from softcloze.soft import INITS, initial_vectors


def combine(prompts: Sequence[Prompt], weights: Sequence[float], backbone: Backbone, *, block: str = "task") -> Prompt:
    """Add up what prompts have learnt: start + the sum of weight x (vectors - start), for the vectors of one block.

    A weight above 0 adds a task, one below 0 takes it away. The start is computed again from the words that the slots
    started from, so they have to be the same words: write them as `init=` in the tag. The embeddings of these words
    come from the backbone.

    Args:
        prompts: trained prompts of one model, each with the block.
        weights: the weight of each prompt.
        backbone: their model.
        block: name of the block.

    Returns:
        The first prompt with other vectors of the block, without the calibration, metrics and history that belong to
        its own. As `soft_init` it starts another fit, and with train=no in the tag it stays as it is.

    Raises:
        ParameterError: a weight for each prompt is missing, an item is not a Prompt, a prompt has no such block, or the
            blocks differ in their length, layers, mode or start, depend on a field, or their start is unknown; names
            the prompt by its index.
        ArtifactError: a prompt belongs to another model.

    Source:
        Task arithmetic: Ilharco et al., ICLR 2023, arXiv:2212.04089; of soft prompts: Belanec et al. 2024,
        arXiv:2408.01119. They draw the start at random.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", '<soft init="a film" name=task> It was <mask>. <text>', {"-": "bad", "+": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> clf = clf.fit(["A delight.", "Dull.", "I loved it.", "Awful."], ["+", "-"] * 2)
        >>> half = combine([clf.prompt_], [0.5], clf.backbone_)
        >>> moved = clf.prompt_.vectors["task"] - half.vectors["task"]
        >>> start = combine([clf.prompt_], [0], clf.backbone_).vectors["task"]
        >>> torch.allclose(half.vectors["task"] - start, moved, atol=1e-6)
        True
    """
    if not prompts or len(prompts) != len(weights):
        raise ParameterError(
            f"combine takes a weight for each prompt, and at least one of each; found {len(prompts)} prompts and "
            f"{len(weights)} weights"
        )
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, Prompt):
            raise ParameterError(
                f"prompts[{i}] is of type {type(prompt).__name__}; expected a Prompt, as prompt_ of a fitted "
                "classifier or Prompt.load of a folder"
            )
    for weight in weights:
        if not NUMBER.holds(weight):
            raise ParameterError(f"weights={list(weights)!r}, but each has to be {NUMBER.expected}")
    bound = [_bound(prompt, backbone, block, i) for i, prompt in enumerate(prompts)]
    blocks = [_compiled_block(one, block) for one in bound]
    _validate_alike(blocks)
    starts = [_start_of(one, compiled, i) for i, (one, compiled) in enumerate(zip(bound, blocks, strict=True))]
    for i, start in enumerate(starts):
        if not torch.equal(start, starts[0]):
            raise ParameterError(
                f"soft block {block!r} of prompts[{i}] and that of prompts[0] started from other words, so that what "
                "they have learnt cannot be added; fit them with the same words in the tag, as in "
                f'<soft*10 name={block} init="It is about">'
            )
    first = prompts[0]
    vectors = [prompt.vectors[block] for prompt in prompts]
    source = summed([str(prompt.template) for prompt in prompts], vectors, weights)
    # vectors at later layers that are added to the hidden states start from zero
    deep = {block: _sum([prompt.deep[block] for prompt in prompts], weights)} if block in first.deep else {}
    return replace(
        first,
        vectors={**first.vectors, block: _sum(vectors, weights, starts[0])},
        deep={**first.deep, **deep},
        calibration=None,
        training={key: first.training[key] for key in ("soft_init", "seed") if key in first.training}
        | {"sources": {**first.training.get("sources", {}), block: source}},
        metrics={},
    )


def _sum(vectors: Sequence[Tensor], weights: Sequence[float], start: Tensor | None = None) -> Tensor:
    """The start and the weighted differences from it; equal to the vectors for one prompt of weight 1."""
    parts = [weight * of_prompt.double() for of_prompt, weight in zip(vectors, weights, strict=True)]
    if start is not None:
        parts.append((1 - sum(weights)) * start.double())
    return torch.stack(parts).sum(0).float()


def _bound(prompt: Prompt, backbone: Backbone, block: str, i: int) -> BoundPrompt:
    """A prompt that has the block, on its model."""
    if block not in prompt.vectors:
        has = quoted_list(prompt.vectors) if prompt.vectors else "none"
        raise ParameterError(f"prompts[{i}] has no soft block {block!r}: it has {has}; name one with block=")
    try:
        prompt.validate_backbone(backbone)
    except ArtifactError as error:
        raise ArtifactError(f"prompts[{i}]: {error}") from error
    return BoundPrompt(prompt, backbone)


def _compiled_block(bound: BoundPrompt, key: str) -> CompiledBlock:
    return next(block for block in bound.compiled.template.blocks if block.key == key)


def _validate_alike(blocks: Sequence[CompiledBlock]) -> None:
    """Raise ParameterError if the blocks differ in what is added up."""
    first = blocks[0]
    for i, block in enumerate(blocks):
        if block.from_ is not None:
            raise ParameterError(
                f"soft block {block.key!r} of prompts[{i}] depends on the field {block.from_!r} (from=), and networks "
                "do not add up; combine blocks without from="
            )
        for what in ("count", "layers", "mode"):
            here, there = getattr(block, what), getattr(first, what)
            if here != there:
                raise ParameterError(
                    f"soft block {block.key!r} has the {what} {here} in prompts[{i}] and {there} in prompts[0]; "
                    "vectors are added one by one, so fit them with the same"
                )
    if first.mode == "replace" and first.layers.last != 0:
        raise ParameterError(
            f"soft block {first.key!r} has mode=replace: at later layers it started from hidden states of its training "
            "examples, which no card holds; fit the prompts with mode=add"
        )


def _start_of(bound: BoundPrompt, block: CompiledBlock, i: int) -> Tensor:
    """The input embeddings that the block started from, shape (count, width)."""
    start = starting_vectors(bound, None)
    if start is None:
        init = bound.prompt.training.get("soft_init")
        origin = f"soft_init={init!r}" if init is not None else "another prompt"
        raise ParameterError(
            f"the vectors that soft block {block.key!r} of prompts[{i}] started from are unknown: they came from "
            f'{origin}; fit it with words, as in <soft*{block.count} name={block.key} init="It is about">'
        )
    return start[list(block.rows)]


def starting_vectors(bound: BoundPrompt | BoundGenerator, examples: Iterable[Example] | None) -> Tensor | None:
    """Recompute the vectors before training, shape (soft, width), on the CPU.

    Vectors that started from words of the template or from label words need no more than these; those of
    `soft_init="vocabulary"` need the training examples and the seed. After a fit with `warm_start=True` they are the
    vectors before the first fit.

    Args:
        bound: a trained soft prompt.
        examples: the training examples, in any order; only "vocabulary" needs them.

    Returns:
        None if they are unknown: they came from another prompt, or "vocabulary" needs `examples`.

    Raises:
        ParameterError: not as many examples as in training.
    """
    training, compiled = bound.prompt.training, bound.compiled
    init = training.get("soft_init")
    if init not in INITS:
        return None
    words = () if isinstance(compiled, CompiledGenerator) else compiled.words
    if not words and (init == "labels" or not compiled.template.first_words):
        return None  # the words were those of the training examples
    drawn = init == "vocabulary" and any(not block.init for block in compiled.template.blocks)
    prompts = []
    if drawn:
        # the selection of demonstrations used the same generator before
        if examples is None or bound.prompt.demonstrations is not None:
            return None
        known = as_examples(examples, bound.prompt.template.fields)
        if len(known) != training["examples"]:
            raise ParameterError(
                f"the vectors started from words of {training['examples']} training examples, found {len(known)}; "
                "give the training examples, or none"
            )
        prompts = compiled.encode(known)
    soft = initial_vectors(
        compiled.template,
        bound.backbone,
        init=init,
        prompts=prompts,
        words=words,
        generator=np.random.default_rng(training["seed"]),
    )
    return soft.weight.detach().cpu()
