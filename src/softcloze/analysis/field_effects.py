"""The effect of the fields of examples on soft vectors that depend on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softcloze.analysis.evaluation import FittedClassifier, soft_prompt_of
from softcloze.analysis.nearest_words import typical_length
from softcloze.analysis.soft_slots import SoftSlot, soft_slots
from softcloze.backbone import FieldNetwork, SoftInputs
from softcloze.data import Example, as_examples
from softcloze.display import Block, Column, Displayable, Table
from softcloze.encoding import EncodedPrompt
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import counted, one_line
from softcloze.prompt import BoundPrompt
from softcloze.scoring.field_vectors import field_states, vectors_of_texts
from softcloze.soft import layer_rms


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """The effect of a field on the vectors of a soft block.

    Distances are in lengths of a typical word; at a later layer in those of the median hidden state in front of it.

    Attributes:
        slot: the block.
        moved: distance of the vectors of each example from those that all examples share, the mean over the block.
        apart: distance of the vectors of an example from their means over the examples, the mean over all of them.
    """

    slot: SoftSlot
    moved: tuple[float, ...]
    apart: float


@dataclass(frozen=True, slots=True)
class FieldEffects(Displayable):
    """The effects of fields on all blocks with from=; `print` and notebooks show a table.

    >>> from rich.console import Console
    >>> slot = SoftSlot("#1", 2, field="text", width=16)
    >>> Console(width=100).print(FieldEffects((FieldEffect(slot, (0.1, 0.3), 0.05),)))
    distance by which the fields of 2 examples move soft vectors, in lengths of a typical word or hidden state
    <BLANKLINE>
      block   at                 field     mean    least     most   between examples
     ────────────────────────────────────────────────────────────────────────────────
      #1      input embeddings   text    0.2000   0.1000   0.3000             0.0500
    <BLANKLINE>
    """

    effects: tuple[FieldEffect, ...]

    def content(self) -> Sequence[Block]:
        """A line and a table with a row for each block."""
        effects = self.effects
        columns = [
            Column("block", [one_line(effect.slot.block) for effect in effects]),
            Column("at", [effect.slot.entry for effect in effects]),
            Column("field", [f"{effect.slot.field}" for effect in effects]),
            Column("mean", [f"{sum(effect.moved) / len(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("least", [f"{min(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("most", [f"{max(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("between examples", [f"{effect.apart:.4f}" for effect in effects], is_number=True),
        ]
        said = counted(len(effects[0].moved), "example")
        return [
            f"distance by which the fields of {said} move soft vectors, in lengths of a typical word or hidden state",
            Table(columns),
        ]


def field_effects(clf: FittedClassifier, X: Iterable[Example]) -> FieldEffects:
    """Measure how far the fields of examples move soft vectors that depend on them (from=).

    Args:
        clf: a fitted classifier.
        X: one example or more.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: no soft slot of its template has from=.
        DataError: there are no examples.
        FieldError: an example lacks a field; names the row.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2 from=text> It was <mask>. <text>", {"bad": "bad", "good": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> (effect,) = field_effects(clf.fit(texts, labels), ["A bore.", ""]).effects
        >>> effect.slot.field, effect.moved[0] > effect.moved[1]
        ('text', True)
    """
    bound, soft = soft_prompt_of(clf)
    inputs = soft.inputs()
    if not inputs.networks and not inputs.late:
        raise ParameterError(f"no soft slot of {str(bound.prompt.template)!r} has from=, so no field moves a vector")
    examples = as_examples(X, bound.fields)
    if not examples:
        raise DataError("field_effects takes at least one example")
    prompts = bound.encode(examples)
    moves = {**_input_moves(bound, prompts, inputs), **_late_moves(bound, prompts, inputs)}
    starts = {block.key: block.start for block in soft.blocks}
    effects = []
    for slot in soft_slots(bound.prompt):
        if slot.field is not None:
            moved = moves[starts[slot.block]]
            apart = (moved - moved.mean(0)).norm(dim=-1).mean()
            effects.append(FieldEffect(slot, tuple(moved.norm(dim=-1).mean(-1).tolist()), float(apart)))
    return FieldEffects(tuple(effects))


def _input_moves(bound: BoundPrompt, prompts: Sequence[EncodedPrompt], inputs: SoftInputs) -> dict[int, Tensor]:
    """Parts that networks add to input embeddings, shape (examples, count, width), by the first row of their block."""
    backbone, unit = bound.backbone, typical_length(bound.backbone)
    moves = {}
    with backbone.frozen(), torch.no_grad():
        states = field_states(backbone, prompts, inputs)
        for network in inputs.networks:
            texts = [prompt.field_ids[network.field] for prompt in prompts]
            vectors = vectors_of_texts(backbone, network, inputs.embeddings, texts, states)
            base = inputs.embeddings[network.rows.start : network.rows.stop]
            moves[network.rows.start] = (vectors - base) / unit
    return moves


def _late_moves(bound: BoundPrompt, prompts: Sequence[EncodedPrompt], inputs: SoftInputs) -> dict[int, Tensor]:
    """The same of networks at later layers, as a forward pass on each example computes it."""
    recorded: dict[int, list[Tensor]] = {network.rows.start: [] for network in inputs.late}

    class Recording(FieldNetwork):
        def vectors(self, base: Tensor, states: Tensor) -> Tensor:
            vectors = super().vectors(base, states)
            recorded[self.rows.start].append((vectors - base)[0])
            return vectors

    if not inputs.late:
        return {}
    backbone = bound.backbone
    with backbone.frozen(), torch.no_grad():
        units = layer_rms(backbone, prompts, inputs) * backbone.layers.width**0.5
        recording = replace(inputs, late=tuple(Recording(*network) for network in inputs.late))
        moves: dict[int, list[Tensor]] = {start: [] for start in recorded}
        for prompt in prompts:
            bound.compiled.scorer.batch([prompt], recording)
            for start, vectors in recorded.items():
                moves[start].append(vectors[0])
                vectors.clear()
    layers = {network.rows.start: network.layer for network in inputs.late}
    return {start: torch.stack(vectors).cpu() / units[layers[start]] for start, vectors in moves.items()}
