"""What candidates differ in: a column of levels for each parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from softcloze.errors import SoftclozeError
from softcloze.library import resolve_template
from softcloze.template import Field, Literal, Mask, Soft, Template, without_slots

MOST = 6  # values of a number that are levels of their own
BINS = 4  # what more of them are taken together to
ABSENT = object()  # the value of a parameter that does not apply to a candidate


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A parameter that takes two values or more.

    Attributes:
        name: of the parameter, or of a part of it.
        levels: its values, for people.
        codes: which of them each candidate has, shape (candidates,); -1 for one to which it does not apply.
    """

    name: str
    levels: tuple[str, ...]
    codes: np.ndarray

    def determines(self, other: "Factor") -> bool:
        """Whether candidates with the same value of this one always have the same value of the other."""
        return len({*zip(self.codes, other.codes, strict=True)}) == len({*self.codes})


def factors_of(candidates: Sequence[Mapping[str, Any]]) -> list[Factor]:
    """The parameters that vary, in the order in which candidates name them.

    A template with soft slots counts as three: its wording, where its slots stand, and how long they are, which does
    not apply to a template without any. Of a number with many values four ranges with about as many candidates each are
    levels. A parameter whose value follows from another's in every candidate cannot be told from it, and is named
    beside it.

    Args:
        candidates: parameters of each.
    """
    names = dict.fromkeys(name for parameters in candidates for name in parameters)
    found = []
    for name in names:
        values = [parameters.get(name, ABSENT) for parameters in candidates]
        for part, own in _parts(name, values).items():
            levels, codes = _levels(own)
            if len(levels) > 1:
                found.append(Factor(part, levels, codes))
    return _told_apart(found)


def shown(value: object) -> str:
    """A parameter's value, for people.

    >>> shown(0.03), shown({"好": ["好", "棒"], "差": "差"}), shown(None)
    ('0.03', '好: 好, 棒; 差: 差', 'None')
    """
    if value is ABSENT:
        return "–"
    if isinstance(value, Mapping):
        return "; ".join(f"{shown(key)}: {shown(own)}" for key, own in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if _is_number(value):
        return f"{value:.4g}"
    return str(value)


def _parts(name: str, values: list[Any]) -> dict[str, list[Any]]:
    """A column for each part of a template that has slots, or the column as it is."""
    if name.rpartition("__")[2] != "template":
        return {name: values}
    try:
        templates = [None if value is ABSENT else resolve_template(value) for value in values]
    except (SoftclozeError, TypeError):
        return {name: values}
    if not any(template is not None and template.blocks for template in templates):
        return {name: values}
    kinds = {"wording": _wording, "slot position": _position, "slot length": _length}
    return {
        f"{name}: {kind}": [ABSENT if template is None else part(template) for template in templates]
        for kind, part in kinds.items()
    }


def _wording(template: Template) -> str:
    return str(without_slots(template))


def _length(template: Template) -> object:
    """Vectors of each slot; one that starts from words has as many as their tokens. Does not apply without slots."""
    blocks = [template.block_of(at) for at, node in enumerate(template.nodes) if isinstance(node, Soft)]
    return " + ".join(f'"{block.init}"' if block.count is None else f"{block.count}" for block in blocks) or ABSENT


def _position(template: Template) -> str:
    """Where the slots stand.

    >>> [_position(Template(f"{source} <mask>")) for source in ("<soft> <text>", "好<text> <soft>", "<text> 很 <soft>")]
    ['in front', 'after <text>', 'before <mask>']
    """
    nodes = [node for node in template.nodes if not (isinstance(node, Literal) and node.text.isspace())]
    places = []
    for at, node in enumerate(nodes):
        if isinstance(node, Soft):
            before = nodes[at - 1] if at else None
            behind = nodes[at + 1] if at + 1 < len(nodes) else None
            places.append(_place(before, behind))
    return " and ".join(places) or "none"


def _place(before: object, behind: object) -> str:
    match before, behind:
        case None, _:
            return "in front"
        case Field(name), _:
            return f"after <{name}>"
        case _, Mask():
            return "before <mask>"
        case _, Field(name):
            return f"before <{name}>"
        case _:
            return "in the wording"


def _levels(values: Sequence[Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """The values for people, and which of them each candidate has."""
    distinct = {_key(value): value for value in values if value is not ABSENT}
    if all(map(_is_number, distinct.values())):
        distinct = dict(sorted(distinct.items()))
        if len(distinct) > MOST:
            return _ranges(np.array([np.nan if value is ABSENT else value for value in values], float))
    numbers = {key: number for number, key in enumerate(distinct)}
    return tuple(map(shown, distinct.values())), np.array([numbers.get(_key(value), -1) for value in values])


def _ranges(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Ranges with about as many values each; nan does not apply."""
    there = ~np.isnan(values)
    edges = np.unique(np.quantile(values[there], np.arange(1, BINS) / BINS))
    codes = np.full(len(values), -1)
    codes[there] = np.unique(np.searchsorted(edges, values[there], side="right"), return_inverse=True)[1]
    members = [values[codes == code] for code in range(codes.max() + 1)]
    return tuple(f"{shown(own.min())} to {shown(own.max())}" for own in members), codes


def _key(value: Any) -> Any:  # noqa: ANN401
    """What tells values apart: templates and other things by how they are written."""
    return float(value) if _is_number(value) else repr(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _told_apart(factors: Sequence[Factor]) -> list[Factor]:
    """Those that follow from no other one; what follows from one is named beside it."""
    owners = [
        max((other for other in factors if other.determines(own)), key=lambda each: len(each.levels)) for own in factors
    ]
    kept = []
    for factor in factors:
        names = [own.name for own, owner in zip(factors, owners, strict=True) if owner is factor and own is not factor]
        if factor in owners:
            kept.append(replace(factor, name=f"{factor.name} (with {', '.join(names)})" if names else factor.name))
    return kept
