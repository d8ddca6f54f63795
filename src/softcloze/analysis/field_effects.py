"""The effect of the fields of examples on soft vectors that depend on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from softcloze.analysis.evaluation import FittedClassifier, soft_prompt_of
from softcloze.analysis.nearest_words import typical_length
from softcloze.analysis.soft_slots import SoftSlot, soft_slots
from softcloze.data import Example, as_examples
from softcloze.display import Block, Column, Displayable, Table
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import counted, one_line
from softcloze.scoring.field_vectors import field_states, vectors_of_texts
from softcloze.template import EMBEDDING


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """The effect of a field on the vectors of a soft block; distances are in lengths of a typical word.

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
    distance by which the fields of 2 examples move soft vectors, in lengths of a typical word
    <BLANKLINE>
      block   field     mean    least     most   between examples
     ─────────────────────────────────────────────────────────────
      #1      text    0.2000   0.1000   0.3000             0.0500
    <BLANKLINE>
    """

    effects: tuple[FieldEffect, ...]

    def content(self) -> Sequence[Block]:
        """A line and a table with a row for each block."""
        effects = self.effects
        columns = [
            Column("block", [one_line(effect.slot.block) for effect in effects]),
            Column("field", [f"{effect.slot.field}" for effect in effects]),
            Column("mean", [f"{sum(effect.moved) / len(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("least", [f"{min(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("most", [f"{max(effect.moved):.4f}" for effect in effects], is_number=True),
            Column("between examples", [f"{effect.apart:.4f}" for effect in effects], is_number=True),
        ]
        said = counted(len(effects[0].moved), "example")
        return [
            f"distance by which the fields of {said} move soft vectors, in lengths of a typical word",
            Table(columns),
        ]


def field_effects(clf: FittedClassifier, X: Iterable[Example]) -> FieldEffects:
    """Measure how far the fields of examples move the input embeddings of soft slots that depend on them (from=).

    Args:
        clf: a fitted classifier.
        X: one example or more.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: no soft slot of its template has from= without layers=.
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
    inputs, backbone = soft.inputs(), bound.backbone
    if not inputs.networks:
        raise ParameterError(
            f"no soft slot of {str(bound.prompt.template)!r} has from= without layers=, so no field moves an input "
            "embedding"
        )
    examples = as_examples(X, bound.fields)
    if not examples:
        raise DataError("field_effects takes at least one example")
    prompts, unit = bound.encode(examples), typical_length(backbone)
    dependent = [slot for slot in soft_slots(bound.prompt) if slot.field is not None and slot.layers == EMBEDDING]
    effects = []
    with backbone.frozen(), torch.no_grad():
        states = field_states(backbone, prompts, inputs)
        for slot, network in zip(dependent, inputs.networks, strict=True):
            texts = [prompt.field_ids[network.field] for prompt in prompts]
            vectors = vectors_of_texts(backbone, network, inputs.embeddings, texts, states)
            base = inputs.embeddings[network.rows.start : network.rows.stop]
            moved = (vectors - base).norm(dim=-1).mean(-1) / unit
            apart = (vectors - vectors.mean(0)).norm(dim=-1).mean() / unit
            effects.append(FieldEffect(slot, tuple(moved.tolist()), float(apart)))
    return FieldEffects(tuple(effects))
