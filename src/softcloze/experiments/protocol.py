"""The protocol of a comparison: sizes and draws of the training set, and the held-out examples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias, TypeGuard

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from softcloze.data import few_shot
from softcloze.errors import ParameterError
from softcloze.parameters import BOOLEAN, FRACTION, NONE, SEED, integer, one_of, plain, validate_parameters
from softcloze.verbalizer import Label

Shots: TypeAlias = int | float | Literal["all"]
Fold: TypeAlias = tuple[np.ndarray, np.ndarray]
LEAST = 8  # development examples of the rarest class; with fewer, one example moves the score by over a tenth
FOLDS = 4
MOST_SEEDS = 10_000  # each is a run of every method
CONSTRAINTS = {
    "shots": integer(at_least=0) | FRACTION | one_of("all"),
    "seeds": SEED,
    "test_rows": integer(at_least=1) | NONE,
    "balanced": BOOLEAN,
    "development": FRACTION,
}


@dataclass(frozen=True, slots=True, init=False)
class Protocol:
    """The selection of training and held-out examples in a comparison.

    The same protocol and labelled examples give the same draws on every machine.

    Attributes:
        shots: sizes of the training set: k >= 1 examples of each class, a share 0 < x < 1 of each class, or "all"; 0
            for methods without training.
        seeds: one draw of the training examples for each; also the random state of the methods.
        test_rows: maximum number of held-out examples, taken from the start; None for all.
        balanced: True if k shots are k examples of each class; False for k times the number of classes in total, in
            proportion to the class sizes. Shares and "all" are always proportional.
        development: share of the training examples held out to choose a method's settings; see `folds`.

    Example:
        >>> protocol = Protocol(shots=(4, 16), seeds=3)
        >>> protocol.seeds
        (0, 1, 2)
        >>> Protocol.from_dict(protocol.to_dict()) == protocol
        True
        >>> [len(rows) for rows in protocol.draws(["good", "bad"] * 50).values()]
        [8, 8, 8, 32, 32, 32]
    """

    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    test_rows: int | None
    balanced: bool
    development: float

    def __init__(
        self,
        shots: Shots | Sequence[Shots] = 16,
        seeds: int | Sequence[int] = 3,
        test_rows: int | None = 1000,
        balanced: bool = True,
        development: float = 0.25,
    ):
        """Create a protocol; an integer for `seeds` is their number.

        Raises:
            ParameterError: a value is out of range.
        """
        values = {"test_rows": test_rows, "balanced": balanced, "development": development}
        validate_parameters(values, CONSTRAINTS)
        if _is_integer(seeds) and seeds > MOST_SEEDS:
            raise ParameterError(f"seeds={seeds!r}, but it has to be a number of seeds up to {MOST_SEEDS}, or a list")
        several = {"shots": _values(shots), "seeds": _values(range(seeds) if _is_integer(seeds) else seeds)}
        for name, items in several.items():
            for item in items:
                validate_parameters({name: item}, CONSTRAINTS)
            if not items or len(set(items)) < len(items):
                raise ParameterError(f"{name}={items!r}: expected one or more distinct values")
        for name, value in (several | values).items():
            object.__setattr__(self, name, plain(value))

    @property
    def hash(self) -> str:
        """SHA-256 of the settings."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """All settings and their hash, as plain data for JSON."""
        return {**asdict(self), "sha256": self.hash}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Restore a protocol from `to_dict`.

        Raises:
            ParameterError: `saved` has other keys, or settings that do not match their hash.
        """
        try:
            settings = dict(saved)
            digest = settings.pop("sha256")
            protocol = cls(**settings)
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ParameterError):
                raise
            raise ParameterError(f"this is not a protocol as to_dict returns it: {error!r}") from error
        if protocol.hash != digest:
            raise ParameterError(
                f"the protocol's settings do not match their hash: expected {protocol.hash}, found {digest}; "
                "save a changed protocol with to_dict"
            )
        return protocol

    def draws(self, labels: Sequence[Label]) -> dict[tuple[Shots, int], tuple[int, ...]]:
        """The training examples of every size and seed.

        Args:
            labels: the labels of all training examples.

        Returns:
            Ascending indices by (shots, seed); for 0 shots and "all" the same for every seed.

        Raises:
            ParameterError: a class has too few examples.
        """
        return {(shots, seed): tuple(self._draw(labels, shots, seed)) for shots in self.shots for seed in self.seeds}

    def _draw(self, labels: Sequence[Label], shots: Shots, seed: int) -> list[int]:
        if shots == "all":
            return list(range(len(labels)))
        if shots == 0:
            return []
        if isinstance(shots, int) and self.balanced:
            return few_shot(labels, shots, seed)
        names, sizes = np.unique(np.asarray(labels), return_counts=True)
        if isinstance(shots, float):
            wanted = np.maximum(1, np.rint(shots * sizes).astype(int))
        else:
            wanted = _apportion(shots * len(names), sizes)
        short = {str(name): int(has) for name, has, want in zip(names, sizes, wanted, strict=True) if has < want}
        if short:
            raise ParameterError(f"shots={shots} needs more examples than a class has: {short}")
        generator = np.random.default_rng(seed)
        of_class = (np.flatnonzero(np.asarray(labels) == name) for name in names)
        drawn = [generator.choice(rows, want, replace=False) for rows, want in zip(of_class, wanted, strict=True)]
        return sorted(np.concatenate(drawn).tolist())

    def folds(self, labels: Sequence[Label], seed: int) -> list[Fold]:
        """Splits of the training examples for choosing a method's settings; the held-out examples are not used.

        A share of `development` is split off; if that leaves fewer than 8 examples of a class, cross-validation is
        used with four folds, or as many as the rarest class has examples.

        Args:
            labels: the labels of the training examples.
            seed: of the draw.

        Returns:
            Pairs of indices: examples to train on, and examples to validate on.

        Raises:
            ParameterError: a class has a single example.

        Source:
            Model selection with only the few labelled examples at hand: Perez et al., NeurIPS 2021, arXiv:2105.11447.
        """
        rarest = int(np.unique(np.asarray(labels), return_counts=True)[1].min())
        if rarest < 2:
            raise ParameterError("settings are chosen on held-out training examples, but a class has a single example")
        if int(self.development * rarest) >= LEAST:
            splitter = StratifiedShuffleSplit(1, test_size=self.development, random_state=seed)
        else:
            splitter = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)
        return list(splitter.split(np.zeros(len(labels)), labels))


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _values(value: object) -> tuple[Any, ...]:
    """The values of a list, tuple, range or array as Python's numbers, or a single value as the only one."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        value = (value,)
    return tuple(plain(item) for item in value)


def _apportion(total: int, sizes: np.ndarray) -> np.ndarray:
    """Rows of each class: `total` in proportion to `sizes` by largest remainders, at least one each."""
    exact = total * sizes / sizes.sum()
    counts: np.ndarray = np.maximum(1, np.floor(exact).astype(int))
    for name in np.argsort(counts - exact, kind="stable")[: max(0, total - counts.sum())]:
        counts[name] += 1
    return counts
