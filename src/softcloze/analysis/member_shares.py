"""The shares of the members of an ensemble in its label scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Styled, Table, fixed, percent
from softcloze.errors import DataError
from softcloze.formatting import counted, one_line
from softcloze.prompt import BoundEnsemble, Probe, Prompt
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class MemberShare:
    """The part of a member in the label scores of an ensemble.

    Attributes:
        description: its template, or the embeddings that it takes.
        head: its head, and the state that it takes if it is not the one at the mask.
        part: its part in a label's score, less the mean over the labels: of the predicted label for one example, else
            the mean absolute part. In nats, unless the ensemble averages probabilities.
        share: the absolute part beside those of the other members, from 0 to 1.
        agreement: share of the examples whose most probable label by this member alone is that of the ensemble.
        probability: of the ensemble's label by this member alone, in the mean over the examples.
    """

    description: str
    head: str
    part: float
    share: float
    agreement: float
    probability: float


@dataclass(frozen=True, slots=True)
class MemberShares(Displayable):
    """The parts of all members of an ensemble over one example or several; `print` and notebooks show a table.

    Attributes:
        examples: number of examples.
        label: the label that the ensemble gives the only example; None for several.
        probability: of the ensemble's label, in the mean over the examples.
        members: the members, in their order.

    >>> from rich.console import Console
    >>> words = MemberShare("<text> It was <mask>", "words", 0.4, 0.25, 1.0, 0.6)
    >>> probe = MemberShare("embedding of <text> by starter:minilm-l6", "linear, embedding", 1.2, 0.75, 1.0, 0.9)
    >>> Console(width=100).print(MemberShares(1, "good", 0.8, (words, probe)))
    good 80.00%; the part of each member in the score of this label
    <BLANKLINE>
      member                                     head                part    share   probability
     ────────────────────────────────────────────────────────────────────────────────────────────
      <text> It was <mask>                       words               0.40   25.00%        60.00%
      embedding of <text> by starter:minilm-l6   linear, embedding   1.20   75.00%        90.00%
    <BLANKLINE>
    """

    examples: int
    label: Label | None
    probability: float
    members: tuple[MemberShare, ...]

    def content(self) -> Sequence[Block]:
        """A line and a table with a row for each member."""
        columns = [
            Column("member", [one_line(member.description) for member in self.members]),
            Column("head", [member.head for member in self.members], wrap="never"),
            Column("part", [fixed(member.part) for member in self.members], is_number=True),
            Column("share", [percent(member.share) for member in self.members], is_number=True),
        ]
        if self.label is not None:
            columns.append(Column("probability", [percent(m.probability) for m in self.members], is_number=True))
            head = f" {percent(self.probability)}; the part of each member in the score of this label"
            return [(Styled(self.label, "bold"), head), Table(columns)]
        columns.append(Column("same label", [percent(member.agreement) for member in self.members], is_number=True))
        return [f"mean size of the part of each member over {counted(self.examples, 'example')}", Table(columns)]


def member_shares(ensemble: BoundEnsemble, examples: Sequence[Example]) -> MemberShares:
    """Measure the parts of the members of an ensemble in its label scores.

    Args:
        ensemble: the ensemble.
        examples: one example, for the parts in the score of its label; or several, for the mean size of the parts.

    Raises:
        DataError: no examples.
        FieldError: an example lacks a field; names the row.
    """
    if not examples:
        raise DataError("no examples to measure on; give at least one")
    logs = ensemble.log_probabilities(ensemble.encode(examples))
    combined, parts = ensemble.combination.log_probabilities(logs), ensemble.combination.parts(logs)
    chosen = combined.argmax(1)

    def of_chosen(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of the chosen label of each example, without the last axis."""
        return np.take_along_axis(values, np.broadcast_to(chosen, values.shape[:-1])[..., None], -1)[..., 0]

    is_single = len(examples) == 1
    sizes = of_chosen(parts)[:, 0] if is_single else np.abs(parts).mean((1, 2))
    total = float(np.abs(sizes).sum())
    columns = [
        [member.saved.description for member in ensemble.members],
        [_head(member.saved) for member in ensemble.members],
        sizes.tolist(),
        (np.abs(sizes) / total if total else np.zeros(len(sizes))).tolist(),
        (logs.argmax(2) == chosen).mean(1).tolist(),
        np.exp(of_chosen(logs)).mean(1).tolist(),
    ]
    return MemberShares(
        len(examples),
        ensemble.labels[chosen[0]] if is_single else None,
        float(np.exp(of_chosen(combined)).mean()),
        tuple(map(MemberShare, *columns)),
    )


def _head(member: Prompt | Probe) -> str:
    return member.head if member.features == "mask" else f"{member.head}, {member.features}"
