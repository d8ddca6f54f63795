"""What makes a comparison fair and repeatable: how many rows, which ones, how often."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from softcloze.data import few_shot
from softcloze.errors import ParameterError

Shots: TypeAlias = int | float | Literal["all"]
Fold: TypeAlias = tuple[np.ndarray, np.ndarray]
LEAST = 8  # development rows of the rarest class; with fewer, a single one moves the choice by over a tenth
FOLDS = 4


@dataclass(frozen=True, slots=True, init=False)
class Protocol:
    """The rows of a comparison: which a method may learn from, and how many it is measured on.

    A protocol and labelled rows give the same draws on every machine and every day.

    Attributes:
        shots: for each size of the training set k >= 1 rows of each class, a share 0 < x < 1 of each class's rows, or
            "all" rows; 0 is none, for methods that need none.
        seeds: a draw of the training rows for each; what is random in a method goes by it as well.
        test_rows: held-out rows to measure on, at most; None for all there are. The first ones are taken.
        balanced: whether k shots are k rows of each class, or k times the number of classes in all, with the
            classes' own shares. Shares and "all" keep these in any case.
        development: share of the training rows that are held out for choosing a method's settings; see `folds`.

    Example:
        >>> protocol = Protocol(shots=(4, 16), seeds=3)
        >>> protocol.seeds
        (0, 1, 2)
        >>> Protocol.from_json(protocol.to_json()) == protocol
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
        """A protocol; `seeds` may be their number.

        Raises:
            ParameterError: names what it cannot be.
        """
        sizes = tuple(shots) if isinstance(shots, Sequence) and not isinstance(shots, str) else (shots,)
        dice = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        for size in sizes:
            _check_shots(size)
        for name, values in (("shots", sizes), ("seeds", dice)):
            if not values or len(set(values)) < len(values):
                raise ParameterError(f"{name}={values!r}: expected one or more, none of them twice")
        if test_rows is not None and test_rows < 1:
            raise ParameterError(f"test_rows={test_rows}, but it has to be at least 1, or None for all")
        if not 0 < development < 1:
            raise ParameterError(f"development={development}: expected a share between 0 and 1")
        for name, value in zip(
            self.__slots__, (sizes, dice, test_rows, bool(balanced), float(development)), strict=True
        ):
            object.__setattr__(self, name, value)

    @property
    def hash(self) -> str:
        """SHA-256 of the settings."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """All settings, and their hash."""
        return json.dumps({**asdict(self), "sha256": self.hash}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ParameterError: something else, or settings that were changed without their hash.
        """
        try:
            settings: Any = json.loads(text)
            digest = settings.pop("sha256")
            protocol = cls(**settings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ParameterError):
                raise
            raise ParameterError(f"this is no protocol as its to_json writes it: {error!r}") from error
        if protocol.hash != digest:
            raise ParameterError(
                f"the protocol's settings do not go with its hash: {protocol.hash} was expected, {digest} found; "
                "write a changed protocol with to_json"
            )
        return protocol

    def draws(self, labels: Sequence[str]) -> dict[tuple[Shots, int], tuple[int, ...]]:
        """The training rows of every size and seed.

        Args:
            labels: the label of each row that may be drawn.

        Returns:
            Indices, ascending, by (shots, seed). 0 shots and "all" are the same for every seed.

        Raises:
            ParameterError: a class has too few rows.
        """
        return {(shots, seed): tuple(self._draw(labels, shots, seed)) for shots in self.shots for seed in self.seeds}

    def _draw(self, labels: Sequence[str], shots: Shots, seed: int) -> list[int]:
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
            raise ParameterError(f"shots={shots} need more rows than there are of a class: {short}")
        generator = np.random.default_rng(seed)
        of_class = (np.flatnonzero(np.asarray(labels) == name) for name in names)
        drawn = [generator.choice(rows, want, replace=False) for rows, want in zip(of_class, wanted, strict=True)]
        return sorted(np.concatenate(drawn).tolist())

    def folds(self, labels: Sequence[str], seed: int) -> list[Fold]:
        """How the training rows are parted for choosing a method's settings, without a look at the held-out rows.

        A share of `development` is held out; where that would leave fewer than 8 rows of a class, the choice is made
        by cross-validation with four folds, or as many as the rarest class has rows.

        Args:
            labels: the labels of the training rows.
            seed: of the draw.

        Returns:
            Pairs of indices: to learn from, and to choose by.

        Raises:
            ParameterError: a class has a single row.

        Source:
            Choosing with the few labelled rows that there are: Perez et al., NeurIPS 2021, arXiv:2105.11447.
        """
        rarest = int(np.unique(np.asarray(labels), return_counts=True)[1].min())
        if rarest < 2:
            raise ParameterError("settings are chosen on rows that are held out, but a class has a single row")
        if int(self.development * rarest) >= LEAST:
            splitter = StratifiedShuffleSplit(1, test_size=self.development, random_state=seed)
        else:
            splitter = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)
        return list(splitter.split(np.zeros(len(labels)), labels))


def _check_shots(shots: object) -> None:
    fits = shots == "all" or (
        isinstance(shots, int | float)
        and not isinstance(shots, bool)
        and (shots == 0 or 0 < shots < 1 or shots % 1 == 0 < shots)
    )
    if not fits or (isinstance(shots, float) and shots % 1 == 0):
        raise ParameterError(
            f"shots={shots!r}: expected a whole number of rows per class, a share between 0 and 1, or 'all'"
        )


def _apportion(total: int, sizes: np.ndarray) -> np.ndarray:
    """`total` rows in proportion to `sizes`, one of each at least: largest remainders."""
    exact = total * sizes / sizes.sum()
    counts = np.maximum(1, np.floor(exact).astype(int))
    for name in np.argsort(counts - exact, kind="stable")[: max(0, total - counts.sum())]:
        counts[name] += 1
    whole: np.ndarray = counts
    return whole
