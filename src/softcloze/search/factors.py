"""Factors: the parameters in which candidates differ, with the levels of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from softcloze.errors import SoftclozeError
from softcloze.library import resolve_template
from softcloze.template import Answer, Field, Literal, Mask, Soft, Template, without_slots

MOST = 6  # a numeric parameter with more values is binned
BINS = 4
NOT_APPLICABLE = object()  # value of a parameter that does not apply to a candidate


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A parameter, or part of one, with two or more levels.

    Attributes:
        name: of the parameter, or of the part.
        levels: its values as text.
        codes: index of each candidate's level, shape (candidates,); -1 if the parameter does not apply.
    """

    name: str
    levels: tuple[str, ...]
    codes: np.ndarray

    def determines(self, other: "Factor") -> bool:
        """True if candidates with the same level of this factor always have the same level of the other."""
        return len({*zip(self.codes, other.codes, strict=True)}) == len({*self.codes})


def factors_of(candidates: Sequence[Mapping[str, Any]]) -> list[Factor]:
    """The parameters that vary, in the order of the candidates' parameters.

    A template with soft slots is split into three factors: its wording, the position of its slots, and their length,
    which does not apply to a template without slots. A number with many values is binned into four ranges of about
    equal size. A parameter that is determined by another one in every candidate is confounded with it, and only
    mentioned in its name.

    Args:
        candidates: parameters of each candidate.
    """
    names = dict.fromkeys(name for parameters in candidates for name in parameters)
    factors = []
    for name in names:
        values = [parameters.get(name, NOT_APPLICABLE) for parameters in candidates]
        for part, column in _split_template(name, values).items():
            levels, codes = _levels(column)
            if len(levels) > 1:
                factors.append(Factor(part, levels, codes))
    return _without_confounded(factors)


def format_value(value: object) -> str:
    """A parameter's value as text.

    >>> format_value(0.03), format_value({"好": ["好", "棒"], "差": "差"}), format_value(None)
    ('0.03', '好: 好, 棒; 差: 差', 'None')
    """
    if value is NOT_APPLICABLE:
        return "–"
    if isinstance(value, Mapping):
        return "; ".join(f"{format_value(key)}: {format_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    if _is_number(value):
        return f"{value:.4g}"
    return str(value)


def _split_template(name: str, values: list[Any]) -> dict[str, list[Any]]:
    """Values of each part if they are templates with slots, else the values themselves."""
    if name.rpartition("__")[2] != "template":
        return {name: values}
    try:
        templates = [None if value is NOT_APPLICABLE else resolve_template(value) for value in values]
    except (SoftclozeError, TypeError):
        return {name: values}
    if not any(template is not None and template.blocks for template in templates):
        return {name: values}
    parts = {"wording": _wording, "slot position": _position, "slot length": _length}
    return {
        f"{name}: {part}": [NOT_APPLICABLE if template is None else value_of(template) for template in templates]
        for part, value_of in parts.items()
    }


def _wording(template: Template) -> str:
    return str(without_slots(template))


def _length(template: Template) -> object:
    """Vectors of each slot, or the words that it is initialised from; does not apply without slots."""
    blocks = [template.block_of(at) for at, node in enumerate(template.nodes) if isinstance(node, Soft)]
    return (
        " + ".join(f'"{block.init}"' if block.count is None else f"{block.count}" for block in blocks) or NOT_APPLICABLE
    )


def _position(template: Template) -> str:
    """The position of the slots.

    >>> [_position(Template(f"{source} <mask>")) for source in ("<soft> <text>", "好<text> <soft>", "<text> 很 <soft>")]
    ['in front', 'after <text>', 'before <mask>']
    """
    nodes = [node for node in template.nodes if not (isinstance(node, Literal) and node.text.isspace())]
    positions = []
    for at, node in enumerate(nodes):
        if isinstance(node, Soft):
            before = nodes[at - 1] if at else None
            after = nodes[at + 1] if at + 1 < len(nodes) else None
            positions.append(_position_between(before, after))
    return " and ".join(positions) or "none"


def _position_between(before: object, after: object) -> str:
    match before, after:
        case None, _:
            return "in front"
        case Field(name), _:
            return f"after <{name}>"
        case _, Mask():
            return "before <mask>"
        case _, Answer():
            return "before <answer>"
        case _, Field(name):
            return f"before <{name}>"
        case _:
            return "in the wording"


def _levels(values: Sequence[Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """The distinct values as text, and the index of each candidate's value."""
    distinct = {_key(value): value for value in values if value is not NOT_APPLICABLE}
    if all(map(_is_number, distinct.values())):
        distinct = dict(sorted(distinct.items()))
        if len(distinct) > MOST:
            return _ranges(np.array([np.nan if value is NOT_APPLICABLE else value for value in values], float))
    index = {key: i for i, key in enumerate(distinct)}
    return tuple(map(format_value, distinct.values())), np.array([index.get(_key(value), -1) for value in values])


def _ranges(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Ranges of about equal size; nan if the parameter does not apply."""
    applies = ~np.isnan(values)
    edges = np.unique(np.quantile(values[applies], np.arange(1, BINS) / BINS))
    codes = np.full(len(values), -1)
    codes[applies] = np.unique(np.searchsorted(edges, values[applies], side="right"), return_inverse=True)[1]
    bins = [values[codes == code] for code in range(codes.max() + 1)]
    return tuple(f"{format_value(members.min())} to {format_value(members.max())}" for members in bins), codes


def _key(value: Any) -> Any:  # noqa: ANN401
    """A hashable key of a value: numbers by value, other objects by their repr."""
    return float(value) if _is_number(value) else repr(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _without_confounded(factors: Sequence[Factor]) -> list[Factor]:
    """Drop factors that are determined by another one, and mention them in its name."""
    owners = [
        max((other for other in factors if other.determines(factor)), key=lambda other: len(other.levels))
        for factor in factors
    ]
    kept = []
    for factor in factors:
        names = [
            other.name for other, owner in zip(factors, owners, strict=True) if owner is factor and other is not factor
        ]
        if factor in owners:
            kept.append(replace(factor, name=f"{factor.name} (with {', '.join(names)})" if names else factor.name))
    return kept
