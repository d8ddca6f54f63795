"""What of a tokenized prompt stays when it is too long."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tokenizers import Encoding

from softcloze.encoding.rendering import Rendered
from softcloze.errors import EncodingError
from softcloze.template import Field, Keep


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """Where a prompt has to fit in.

    Attributes:
        limit: positions in all.
        slots: positions that soft slots and the answer take beyond the one token that stands for each.
    """

    limit: int
    slots: int

    @property
    def tokens(self) -> int:
        """Tokens that fit."""
        return self.limit - self.slots


@dataclass(frozen=True, slots=True)
class Fit:
    """What stays of a tokenized prompt.

    Attributes:
        used: numbers of the tokens that stay.
        cut: tokens taken from each field; only fields that lost some are listed.
        drop: demonstrations that have to go first, and then all is to be looked at again.
    """

    used: Sequence[int]
    cut: Mapping[str, int]
    drop: int = 0


def fit(encoding: Encoding, rendered: Rendered, used: Sequence[int], room: TokenBudget, shortest_max: float) -> Fit:
    """Choose the tokens that stay, so that they fit.

    Each field is first cut to its own `max`. Then demonstrations go, whole, the first ones first. Then the fields
    give up tokens by their weights.

    Args:
        encoding: the tokenized prompt.
        rendered: the prompt that was tokenized.
        used: numbers of the tokens that count.
        room: for which.
        shortest_max: the smallest `max` of all fields.

    Raises:
        EncodingError: what must not be cut does not fit; says by how many tokens.
    """
    if len(used) <= min(room.tokens, shortest_max):
        return Fit(used, {})
    owners = part_indices(encoding, rendered)
    sizes = Counter([owner for i in used if (owner := owners[i]) is not None])
    places = [(i, part.node) for i, part in enumerate(rendered.parts) if isinstance(part.node, Field)]
    wanted = {i: min(sizes[i], field.max) if field.max is not None else sizes[i] for i, field in places}
    excess = len(used) - sum(sizes[i] - size for i, size in wanted.items()) - room.tokens
    if excess > 0 and rendered.demos:
        return Fit(used, {}, _to_drop(rendered.demos, {**sizes, **wanted}, excess))
    if excess > 0:
        wanted = _shared(places, wanted, room, excess)
    return _cut(encoding, rendered, used, owners, wanted)


def part_indices(encoding: Encoding, rendered: Rendered) -> list[int | None]:
    """The number of the part that each token comes from; None for special tokens that the tokenizer added.

    White space at a token's start does not count, since many tokenizers put the space before a word
    into its token. A token with characters of several parts belongs to the first that is no field.
    """
    text, part_ends = rendered.text, rendered.ends
    owners: list[int | None] = []
    owner = low = high = 0  # the part of the token before, and where it stands
    for (start, end), origin in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        if origin is None:
            owners.append(None)
            continue
        if not low <= start < end <= high:
            owner = _owner(rendered, text, part_ends, start, end)
            low, high = part_ends[owner - 1] if owner else 0, part_ends[owner]
        owners.append(owner)
    return owners


def _owner(rendered: Rendered, text: str, part_ends: Sequence[int], start: int, end: int) -> int:
    """The part that the token from `start` to `end` comes from."""
    if start == end:  # white space that the tokenizer trims from its tokens' spans
        start = max(start - 1, 0)
    while start < end - 1 and text[start].isspace():
        start += 1
    first = bisect_right(part_ends, start)
    last = bisect_left(part_ends, max(end, start + 1))
    touched = range(first, min(last + 1, len(part_ends)))
    return next((i for i in touched if not isinstance(rendered.parts[i].node, Field)), first)


def _to_drop(demos: Sequence[range], sizes: Mapping[int, int], excess: int) -> int:
    """How many demonstrations have to go so that `excess` tokens are saved, as far as can be told beforehand."""
    for number, parts in enumerate(demos, start=1):
        excess -= sum(sizes.get(i, 0) for i in parts)
        if excess <= 0:
            return number
    return len(demos)


def _shared(
    places: Sequence[tuple[int, Field]], wanted: Mapping[int, int], room: TokenBudget, excess: int
) -> dict[int, int]:
    """Tokens that each place of a field keeps when `excess` tokens have to go."""
    budget = sum(wanted.values()) - excess
    if budget < 0:
        raise EncodingError(
            f"the template alone is {-budget} tokens too long: its literals, soft slots, special tokens and "
            f"answer take {room.limit - budget} where {room.limit} fit; shorten it or raise max_length"
        )
    rigid = [(field.name, wanted[i]) for i, field in places if field.shorten == 0 and wanted[i]]
    missing = sum(size for _, size in rigid) - budget
    if missing > 0:
        sizes = ", ".join(f"{name!r} has {size}" for name, size in rigid)
        raise EncodingError(
            f"fields with shorten=0 are {missing} tokens too long: {sizes} where {budget} fit beside the template; "
            "let them be cut, give them a max=, or raise max_length"
        )
    kept = shares([wanted[i] for i, _ in places], budget, [field.shorten for _, field in places])
    return {i: keeps for (i, _), keeps in zip(places, kept, strict=True)}


def _cut(
    encoding: Encoding,
    rendered: Rendered,
    used: Sequence[int],
    owners: Sequence[int | None],
    wanted: Mapping[int, int],
) -> Fit:
    """Take from each place of a field what goes beyond `wanted`, at the side that it names."""
    tokens: dict[int, list[int]] = {i: [] for i in wanted}
    for i in used:
        owner = owners[i]
        if owner is not None and owner in tokens:
            tokens[owner].append(i)
    spans = encoding.offsets  # a new list at each access
    shown = {i for demo in rendered.demos for i in demo}
    gone: set[int] = set()
    cut: Counter[str] = Counter()
    for place, keeps in wanted.items():
        own, field = tokens[place], rendered.parts[place].node
        if keeps == len(own) or not isinstance(field, Field):
            continue
        head, tail = ends([spans[i] for i in own], keeps, field.keep)
        lost = own[head : len(own) - tail]
        gone.update(lost)
        if place not in shown:
            cut[field.name] += len(lost)
    return Fit([i for i in used if i not in gone] if gone else used, dict(cut))


def shares(lengths: Sequence[int], budget: int, weights: Sequence[float] | None = None) -> list[int]:
    """How many tokens each field keeps.

    There is a common level to which all fields are cut; a field of weight 2 keeps half as many tokens as the level
    says, one of weight 0 keeps all. So among equals the longest give first, down to the length of the next.

    Args:
        lengths: tokens of each field.
        budget: tokens that all of them may keep together; not fewer than those of weight 0 have.
        weights: how soon each gives up tokens, to three decimals; the same for all if None.

    Returns:
        Tokens kept by each, in the order given. They add up to `budget`, or to all tokens if those fit.

    >>> shares([3, 10, 20], budget=15)
    [3, 6, 6]
    >>> shares([30, 30, 30], budget=60, weights=[0, 1, 2])
    [30, 20, 10]
    """
    exact = [Fraction(1)] * len(lengths) if weights is None else [Fraction(round(w * 1000), 1000) for w in weights]
    kept = list(lengths)
    # by the level at which each begins to give; of those that begin together, the longest are the last
    giving = sorted((i for i, weight in enumerate(exact) if weight), key=lambda i: (lengths[i] * exact[i], lengths[i]))
    rest = budget - sum(lengths[i] for i, weight in enumerate(exact) if not weight)
    width = sum(1 / exact[i] for i in giving)  # tokens by which one level more would raise them all
    while giving and rest >= lengths[giving[0]] * exact[giving[0]] * width:
        whole = giving.pop(0)
        rest -= lengths[whole]
        width -= 1 / exact[whole]
    if not giving:
        return kept
    level = rest / width
    for i in giving:
        kept[i] = int(level / exact[i])
    # what rounding left over goes where the next token stands lowest, to the longer ones among equals
    for _ in range(rest - sum(kept[i] for i in giving)):
        growing = [i for i in reversed(giving) if kept[i] < lengths[i]]
        kept[min(growing, key=lambda i: (kept[i] + 1) * exact[i])] += 1
    return kept


def ends(spans: Sequence[tuple[int, int]], kept: int, keep: Keep) -> tuple[int, int]:
    """How many tokens stay at the beginning and at the end of a field, so that no character is split in two.

    Args:
        spans: start and end of each token in the text; the bytes of one character share its span.
        kept: tokens to keep at most.
        keep: whether the first, the last, or half of them at either end are kept.

    >>> spans = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    >>> ends(spans, 3, "head"), ends(spans, 3, "tail"), ends(spans, 3, "ends")
    ((1, 0), (0, 1), (1, 1))
    """
    if kept >= len(spans):
        return len(spans), 0
    head = tail = 0
    if keep != "tail":
        head = kept if keep == "head" else kept - kept // 2
        while head > 0 and _splits(spans, head):
            head -= 1
    if keep != "head":
        tail = kept - head
        while tail > 0 and _splits(spans, len(spans) - tail):
            tail -= 1
    return head, tail


def _splits(spans: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether a cut before token `at` goes through a character."""
    return spans[at][0] < spans[at - 1][1]
