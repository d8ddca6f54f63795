"""Several plans as one, so that prompts of different templates and label words are read in the same pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import cast

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.queries import Plan, Query


@dataclass(frozen=True, slots=True)
class OwnedPrompt(EncodedPrompt):
    """An encoded prompt that knows how it is scored.

    Attributes:
        owner: the number of its plan among several.
    """

    owner: int = field(kw_only=True)


class JoinedPlan(Plan):
    """Every prompt by its own plan; the sums of all plans stand side by side, and a prompt fills those of its own."""

    def __init__(self, plans: Sequence[Plan]):
        """Join `plans`, none of which is adaptive: an `OwnedPrompt` says which of them is its own."""
        self._plans = plans
        self.words = tuple(word for plan in plans for word in plan.words)
        self.normalised = any(plan.normalised for plan in plans)
        self._first_cells = [0, *accumulate(len(plan.words) for plan in plans)]

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """The rows of the prompt's own plan."""
        owner = cast(OwnedPrompt, prompt).owner
        first = self._first_cells[owner]
        return [
            replace(query, reads=tuple(replace(read, cell=first + read.cell) for read in query.reads))
            for query in self._plans[owner].queries(prompt)
        ]
