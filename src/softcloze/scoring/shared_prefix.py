"""Score several prompts together; shared prefixes are computed once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from softcloze.backbone import PrefixCache, run_length_bucketed, shared_prefix
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import ModelInput, Plan

if TYPE_CHECKING:
    from softcloze.scoring.scorer import Scorer


WORTH = 16  # tokens that a shared beginning has to spare; a pass costs about as much by itself
LEVELS = 8  # of beginnings one behind the other; each keeps its keys and values while those behind it are read


@dataclass(slots=True)
class Beginning:
    """Ids that several rows have in common, behind those that more rows have in common.

    Attributes:
        ids: what it adds to the beginning before it.
        end: ids up to here, those before it included.
        level: beginnings before it.
        longer: the beginnings that go on from here.
        rows: numbers of the rows that share nothing more.
    """

    ids: tuple[int, ...] = ()
    end: int = 0
    level: int = 0
    longer: list["Beginning"] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def prefix_tree(rows: Sequence[tuple[int, ...]], times: Sequence[int]) -> Beginning:
    """The tree of shared beginnings that are worth a pass of their own.

    Args:
        rows: ids.
        times: how often each is read.

    Returns:
        An empty beginning, which all rows have.

    >>> text, other = tuple(range(20)), tuple(range(20, 40))
    >>> tree = prefix_tree([(*text, 1, 2), (*other, 3), (*text, 3), (*other, 1), (7,)], [1] * 5)
    >>> tree.rows, [(longer.ids[0], longer.end, longer.rows) for longer in tree.longer]
    ([4], [(20, 20, [1, 3]), (0, 20, [2, 0])])
    """
    tree = Beginning()
    waiting = [(tree, sorted(range(len(rows)), key=rows.__getitem__))]
    while waiting:
        beginning, members = waiting.pop()
        if sum(times[row] for row in members) < 2 or beginning.level == LEVELS:
            beginning.rows += members
            continue
        first, last = rows[members[0]], rows[members[-1]]
        # what the first and the last in order have in common, all have
        end = beginning.end + shared_prefix([first[beginning.end :], last[beginning.end :]])
        ways = _ways(rows, members, end)
        ended = ways.pop(0) if len(rows[members[0]]) == end else []
        # rows that go the same way from here may share this as part of a longer beginning of their own
        if (end - beginning.end) * (sum(times[row] for row in ended) + len(ways) - 1) >= WORTH:
            longer = Beginning(first[beginning.end : end], end, beginning.level + 1)
            beginning.longer.append(longer)
            beginning = longer
        beginning.rows += ended
        waiting += [(beginning, own) for own in ways]
    return tree


def _ways(rows: Sequence[tuple[int, ...]], members: Sequence[int], at: int) -> list[list[int]]:
    """Members, in order, that have the same id here; first those that end before."""
    return [list(own) for _, own in groupby(members, lambda row: rows[row][at : at + 1])]


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

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The rows of the prompt's own plan."""
        owner = cast(OwnedPrompt, prompt).owner
        first = self._first_cells[owner]
        return [
            replace(query, reads=tuple(replace(read, cell=first + read.cell) for read in query.reads))
            for query in self._plans[owner].queries(prompt)
        ]


# tokens that are remembered for what one costs that is read: they are copied and attended to, which is far less, but
# not nothing
REMEMBERED = 4


class Member(NamedTuple):
    """One of several that are scored together.

    Attributes:
        scorer: reads what is wanted.
        prompts: encoded prompts.
        soft: the soft vectors, shape (soft, width), or None where the template has none.
    """

    scorer: "Scorer"
    prompts: Sequence[EncodedPrompt]
    soft: Tensor | None


def score_together(members: Sequence[Member]) -> list[Tensor]:
    """Features of the prompts of all members, as each scorer gives them by itself, without gradient.

    A causal model reads what several rows begin with once, be they of one prompt with several label words, of one text
    in several templates or of one template around several texts. This is found on the ids, where soft slots differ
    from member to member. Prompts of different members share batches of like length.

    Args:
        members: with the same backbone.

    Returns:
        For each member the features of its prompts, shape (prompts, features), on the CPU.
    """
    reading = _Reading(members)
    with torch.inference_mode():
        reading.go_on([reading.tree], None)
    return reading.features


class _Row(NamedTuple):
    """One prompt of one member."""

    member: int
    number: int
    company: int
    prompt: OwnedPrompt


class _Reading:
    """The prompts of all members, with their soft slots numbered through, and the features that are read of them."""

    def __init__(self, members: Sequence[Member]):
        self._backbone = members[0].scorer.backbone
        self.features = [torch.empty(len(member.prompts), member.scorer.features) for member in members]
        self._soft, first_slots = _joined_vectors([member.soft for member in members])
        by_manner: dict[Hashable, dict[Scorer, None]] = {}
        for member in members:
            by_manner.setdefault(member.scorer.manner, {})[member.scorer] = None
        self._companies = [ScorerGroup(list(scorers)) for scorers in by_manner.values()]
        company_of = {manner: number for number, manner in enumerate(by_manner)}
        self._rows: list[_Row] = []
        for m, (member, first) in enumerate(zip(members, first_slots, strict=True)):
            company = company_of[member.scorer.manner]
            owner = self._companies[company].scorers.index(member.scorer)
            self._rows += [_Row(m, i, company, _owned(own, owner, first)) for i, own in enumerate(member.prompts)]
        if self._backbone.supports_prefix_cache:
            # the last id before the mask is read together with the mask
            ids = [row.prompt.left[:-1] for row in self._rows]
            self.tree = prefix_tree(ids, [members[row.member].scorer.rows(row.prompt) for row in self._rows])
        else:
            self.tree = Beginning(rows=list(range(len(self._rows))))

    def go_on(self, beginnings: Sequence[Beginning], prefix: PrefixCache | None) -> None:
        """Score all rows that begin like one of these.

        Args:
            beginnings: what is read already.
            prefix: what the model remembers of them, one row each; None where they are empty.
        """
        ready = [(self._rows[row], place) for place, own in enumerate(beginnings) for row in own.rows]
        for number, company in enumerate(self._companies):
            self._score(company, [pair for pair in ready if pair[0].company == number], prefix)
        longer = [(own, place) for place, one in enumerate(beginnings) for own in one.longer]

        def read(chosen: list[int]) -> None:
            own = [longer[i][0] for i in chosen]
            before = prefix.select([longer[i][1] for i in chosen]) if prefix is not None else None
            self.go_on(own, self._backbone.prefill([one.ids for one in own], self._soft, before))

        run_length_bucketed(
            [len(own.ids) for own, _ in longer], lambda i: longer[i][0].end, read, self._backbone.token_budget
        )

    def _score(self, company: "ScorerGroup", rows: Sequence[tuple[_Row, int]], prefix: PrefixCache | None) -> None:
        """Score rows, each behind the beginning with the number that stands beside it."""
        known = prefix.lengths.tolist() if prefix is not None else [0]
        left = [len(row.prompt) - known[place] for row, place in rows]
        scorers = [company.scorers[row.prompt.owner] for row, _ in rows]
        room = self._backbone.packing_capacity(prefix) if prefix is not None else 0
        bundles = _bundles([place for _, place in rows], left, room)

        def score(chosen: list[int]) -> None:
            own = [rows[i] for number in chosen for i in bundles[number]]
            behind = [place for _, place in own]
            found = company.scorer.batch([row.prompt for row, _ in own], self._soft, prefix, behind).cpu()
            for (row, _), features in zip(own, found, strict=True):
                self.features[row.member][row.number] = features[company.columns[row.prompt.owner]]

        def cost(number: int) -> int:
            own = bundles[number]
            remembered = known[rows[own[0]][1]]
            tokens = sum(scorers[i].cost(rows[i][0].prompt, remembered) for i in own)
            copies = 1 + tokens // room if room else scorers[own[0]].rows(rows[own[0]][0].prompt)
            return tokens + copies * remembered // REMEMBERED

        run_length_bucketed([sum(left[i] for i in own) for own in bundles], cost, score, self._backbone.token_budget)


class ScorerGroup:
    """Scorers that read in one pass.

    Attributes:
        scorers: each of them.
        scorer: all as one.
        columns: where among its features are those of each scorer.
    """

    def __init__(self, scorers: "list[Scorer]"):
        self.scorers, self.scorer = scorers, scorers[0].join(scorers)
        ends = list(accumulate(len(scorer.words) for scorer in scorers))
        states = range(ends[-1], self.scorer.features)
        self.columns = [
            torch.tensor([*range(end - len(scorer.words), end), *states])
            for scorer, end in zip(scorers, ends, strict=True)
        ]


def _bundles(places: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of rows behind the same beginning that have room in one, and of each other by itself.

    >>> _bundles([0, 1, 0, 0], [91, 5, 8, 9], room=100)
    [[0, 3], [2], [1]]
    """
    bundles: list[list[int]] = []
    left = 0
    for i in sorted(range(len(places)), key=lambda i: (places[i], -lengths[i])):
        if bundles and places[bundles[-1][0]] == places[i] and lengths[i] <= left:
            bundles[-1].append(i)
        else:
            bundles.append([i])
            left = room
        left -= lengths[i]
    return bundles


def _joined_vectors(softs: Sequence[Tensor | None]) -> tuple[Tensor | None, list[int]]:
    """All soft vectors one below the other, and the row where those of each member begin."""
    lengths = [len(soft) if soft is not None else 0 for soft in softs]
    vectors = [soft for soft in softs if soft is not None]
    return (torch.cat(vectors) if vectors else None), [0, *accumulate(lengths)][:-1]


def _owned(prompt: EncodedPrompt, owner: int, first_slot: int) -> OwnedPrompt:
    """The prompt with its owner's number, its soft slots counted from `first_slot`."""
    left, *between, right = (tuple(i - first_slot if i < 0 else i for i in piece) for piece in prompt.chunks)
    return OwnedPrompt(left, right, prompt.cut, prompt.token_type_ids, prompt.dropped, tuple(between), owner=owner)
