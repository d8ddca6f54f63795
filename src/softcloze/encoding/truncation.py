"""Truncate a tokenized prompt to the model's limit."""

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
class KeptTokens:
    """The result of truncation.

    Attributes:
        indices: indices of the tokens to keep.
        cut: tokens removed from each field outside demonstrations; fields that lost none are absent.
        drop: demonstrations to leave out; if not 0, render without them and truncate again.
        emptied: whether the fields outside demonstrations had tokens and lost all of them.
    """

    indices: Sequence[int]
    cut: Mapping[str, int]
    drop: int = 0
    emptied: bool = False


def truncate(
    encoding: Encoding, rendered: Rendered, indices: Sequence[int], limit: int, slots: int, shortest_max: float
) -> KeptTokens:
    """Choose the tokens to keep within the budget.

    Each field is first cut to its own `max`. Then whole demonstrations are dropped, from the first on. Then the
    fields lose tokens by their weights.

    Args:
        encoding: the tokenized prompt `rendered`.
        rendered: the prompt.
        indices: indices of the tokens to consider.
        limit: total number of positions.
        slots: positions of soft slots and the answer beyond the one marker token of each.
        shortest_max: the smallest `max` of all fields; the limit of the model if no field has one.

    Raises:
        EncodingError: the parts that must not be cut exceed the budget; says by how many tokens.
    """
    budget = limit - slots
    if len(indices) <= min(budget, shortest_max):
        return KeptTokens(indices, {})
    part_of_token = part_indices(encoding, rendered)
    sizes = Counter([part for i in indices if (part := part_of_token[i]) is not None])
    fields = [(i, part.node) for i, part in enumerate(rendered.parts) if isinstance(part.node, Field)]
    wanted = {i: min(sizes[i], field.max) if field.max is not None else sizes[i] for i, field in fields}
    excess = len(indices) - sum(sizes[i] - size for i, size in wanted.items()) - budget
    if excess > 0 and rendered.demos:
        return KeptTokens(indices, {}, _demos_to_drop(rendered.demos, {**sizes, **wanted}, excess))
    if excess > 0:
        wanted = _shorten(fields, wanted, limit, excess)
    return _cut(encoding, rendered, indices, part_of_token, wanted)


def part_indices(encoding: Encoding, rendered: Rendered) -> list[int | None]:
    """The index of each token's part; None for special tokens that the tokenizer added.

    White space at a token's start is ignored, since many tokenizers attach the space before a word to its token. A
    token with characters of several parts belongs to the first that is not a field.
    """
    text, part_ends = rendered.text, rendered.ends
    indices: list[int | None] = []
    part = low = high = 0  # the previous token's part and its span
    for (start, end), origin in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        if origin is None:
            indices.append(None)
            continue
        if not low <= start < end <= high:
            part = _part_index(rendered, text, part_ends, start, end)
            low, high = part_ends[part - 1] if part else 0, part_ends[part]
        indices.append(part)
    return indices


def _part_index(rendered: Rendered, text: str, part_ends: Sequence[int], start: int, end: int) -> int:
    """The index of the part of the token from `start` to `end`."""
    if start == end:  # white space that the tokenizer trims from token spans
        start = max(start - 1, 0)
    while start < end - 1 and text[start].isspace():
        start += 1
    first = bisect_right(part_ends, start)
    last = bisect_left(part_ends, max(end, start + 1))
    touched = range(first, min(last + 1, len(part_ends)))
    return next((i for i in touched if not isinstance(rendered.parts[i].node, Field)), first)


def _demos_to_drop(demos: Sequence[range], sizes: Mapping[int, int], excess: int) -> int:
    """Estimate the number of demonstrations to drop so that `excess` tokens are saved."""
    for count, parts in enumerate(demos, start=1):
        excess -= sum(sizes.get(i, 0) for i in parts)
        if excess <= 0:
            return count
    return len(demos)


def _shorten(fields: Sequence[tuple[int, Field]], wanted: Mapping[int, int], limit: int, excess: int) -> dict[int, int]:
    """Tokens that each occurrence of a field keeps when `excess` tokens must go; keys are part indices."""
    left = sum(wanted.values()) - excess
    if left < 0:
        raise EncodingError(
            f"the template alone is {-left} tokens too long: its literals, soft slots, special tokens and "
            f"answer take {limit - left} where {limit} fit; shorten it or raise max_length"
        )
    rigid = [(field.name, wanted[i]) for i, field in fields if field.shorten == 0 and wanted[i]]
    missing = sum(size for _, size in rigid) - left
    if missing > 0:
        sizes = ", ".join(f"{name!r} has {size}" for name, size in rigid)
        raise EncodingError(
            f"fields with shorten=0 are {missing} tokens too long: {sizes} where {left} fit beside the template; "
            "let them be cut, give them a max=, or raise max_length"
        )
    kept = allocate([wanted[i] for i, _ in fields], left, [field.shorten for _, field in fields])
    return {i: size for (i, _), size in zip(fields, kept, strict=True)}


def _cut(
    encoding: Encoding,
    rendered: Rendered,
    indices: Sequence[int],
    part_of_token: Sequence[int | None],
    wanted: Mapping[int, int],
) -> KeptTokens:
    """Cut each occurrence of a field to its wanted size, at the side that the field names."""
    tokens: dict[int, list[int]] = {i: [] for i in wanted}
    for i in indices:
        part = part_of_token[i]
        if part is not None and part in tokens:
            tokens[part].append(i)
    spans = encoding.offsets  # each access builds a new list
    demo_parts = {i for demo in rendered.demos for i in demo}
    removed: set[int] = set()
    cut: Counter[str] = Counter()
    for part, size in wanted.items():
        field_tokens, field = tokens[part], rendered.parts[part].node
        if size == len(field_tokens) or not isinstance(field, Field):
            continue
        head, tail = ends([spans[i] for i in field_tokens], size, field.keep)
        lost = field_tokens[head : len(field_tokens) - tail]
        removed.update(lost)
        if part not in demo_parts:
            cut[field.name] += len(lost)
    lost_all = sum(cut.values()) == sum(len(tokens[part]) for part in tokens if part not in demo_parts)
    kept = [i for i in indices if i not in removed] if removed else indices
    return KeptTokens(kept, dict(cut), emptied=bool(cut) and lost_all)


def allocate(lengths: Sequence[int], budget: int, weights: Sequence[float] | None = None) -> list[int]:
    """Divide a budget of tokens among fields.

    All fields are cut to a common level. A field of weight 2 keeps half the level, one of weight 0 keeps everything.
    Among equal weights, the longest field loses tokens first, down to the length of the next.

    Args:
        lengths: tokens of each field.
        budget: tokens that the fields keep in total; at least the tokens of all fields of weight 0.
        weights: weight of each field, to three decimals; None for equal weights.

    Returns:
        Tokens kept by each field, in order. They sum to `budget`, or to all tokens if those are fewer.

    >>> allocate([3, 10, 20], budget=15)
    [3, 6, 6]
    >>> allocate([30, 30, 30], budget=60, weights=[0, 1, 2])
    [30, 20, 10]
    """
    exact = [Fraction(1)] * len(lengths) if weights is None else [Fraction(round(w * 1000), 1000) for w in weights]
    kept = list(lengths)
    # sorted by the level at which each starts to lose tokens; among equals, longest last
    giving = sorted((i for i, weight in enumerate(exact) if weight), key=lambda i: (lengths[i] * exact[i], lengths[i]))
    rest = budget - sum(lengths[i] for i, weight in enumerate(exact) if not weight)
    width = sum(1 / exact[i] for i in giving)  # tokens that one more level adds
    while giving and rest >= lengths[giving[0]] * exact[giving[0]] * width:
        whole = giving.pop(0)
        rest -= lengths[whole]
        width -= 1 / exact[whole]
    if not giving:
        return kept
    level = rest / width
    for i in giving:
        kept[i] = int(level / exact[i])
    # tokens left by rounding go to the field with the lowest next level; among equals, to the longer one
    for _ in range(rest - sum(kept[i] for i in giving)):
        growing = [i for i in reversed(giving) if kept[i] < lengths[i]]
        kept[min(growing, key=lambda i: (kept[i] + 1) * exact[i])] += 1
    return kept


def ends(spans: Sequence[tuple[int, int]], kept: int, keep: Keep) -> tuple[int, int]:
    """Count the tokens to keep at the start and the end of a field, without splitting a character.

    Args:
        spans: start and end of each token in the text; the bytes of one character share its span.
        kept: maximal number of tokens to keep.
        keep: side to keep: the first tokens, the last, or half at either end.

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
    """Return whether a cut before token `at` splits a character."""
    return spans[at][0] < spans[at - 1][1]
