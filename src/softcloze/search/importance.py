"""How much of the differences between candidates each parameter explains by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import OneHotEncoder

from softcloze.search.factors import Factor, factors_of
from softcloze.search.results import Candidate

TREES = 200


@dataclass(frozen=True, slots=True)
class Level:
    """A value of a parameter, or a range of values.

    Attributes:
        value: for people.
        mean: score with this value, averaged over what the candidates have of the other parameters.
        scores: of the candidates that have it, the best first.
    """

    value: str
    mean: float
    scores: tuple[float, ...]

    @property
    def best(self) -> float:
        """The best score that a candidate with this value reached."""
        return self.scores[0]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that varied.

    Attributes:
        name: as the searcher has it; of a template with soft slots, with the part of it.
        share: of the variance of the candidates' scores that its values alone explain, from 0 to 1.
        levels: its values: numbers from the smallest, others in the order in which the search has them.
    """

    name: str
    share: float
    levels: tuple[Level, ...]


def effects(candidates: Sequence[Candidate], higher: bool = True, random_state: int = 0) -> tuple[Parameter, ...]:
    """The parameters that vary among candidates, the one that explains the most first.

    A value's mean is taken with every candidate's other parameters in turn. Where that combination was tried, its score
    counts; where it was not, what a random forest that was fitted to the candidates predicts for it. The share is the
    variance of these means, each value weighted by its candidates, over the variance of the candidates' scores. A
    parameter that does not apply to all of them, such as the length of slots, is compared among those to which it does.

    In a full grid everything was tried: the shares are those of main effects in an analysis of variance, no forest is
    grown, and what they leave is interplay. In a random search or a study they are estimates.

    Args:
        candidates: with the same resources, two or more.
        higher: whether a higher score is better.
        random_state: seed of the forest.

    Source:
        Functional analysis of variance, fANOVA: Hutter, Hoos and Leyton-Brown, ICML 2014. There the forest stands for
        every combination, also those that were tried, and values are drawn evenly from their ranges; here the scores
        themselves count where there are any, and values as often as candidates have them.

    >>> grid = [{"epochs": epochs, "head": head} for epochs in (3, 6) for head in ("words", "warp")]
    >>> scores = (0.5, 0.6, 0.7, 0.8)
    >>> [(each.name, round(each.share, 3)) for each in effects([*map(Candidate, grid, scores)])]
    [('epochs', 0.8), ('head', 0.2)]
    """
    factors = factors_of([candidate.parameters for candidate in candidates])
    if not factors:
        return ()
    table = ScoreTable(np.stack([factor.codes for factor in factors], 1), candidates, random_state)
    found = [_parameter(number, factor, table, higher) for number, factor in enumerate(factors)]
    return tuple(sorted(found, key=lambda each: -each.share))


def noise_share(candidates: Sequence[Candidate]) -> float | None:
    """Share of the variance of the candidates' scores that chance in the folds would make if all were equally good.

    The candidates' spread from fold to fold, beyond what makes a fold easy or hard for all of them, over their spread
    in the mean: 1 / F of an analysis of variance with folds as blocks. None without the scores of two folds.

    Args:
        candidates: with the same resources.

    Returns:
        From 0 to 1; at 1 the candidates differ no more than chance makes them.
    """
    counts = {len(each.folds) for each in candidates}
    if len(candidates) < 2 or len(counts) > 1 or counts <= {0, 1}:
        return None
    scores = np.array([each.folds for each in candidates])
    rows, folds = scores.shape
    means = scores.mean(1)
    rest = scores - means[:, None] - scores.mean(0) + scores.mean()
    chance = (rest**2).sum() / ((rows - 1) * (folds - 1)) / folds
    spread = float(means.var(ddof=1))
    return min(1.0, float(chance / spread)) if spread else 1.0


class ScoreTable:
    """The score of every combination of levels: as measured, or as a forest predicts it.

    Args:
        codes: the candidates' levels, shape (candidates, factors).
        candidates: their scores.
        random_state: seed of the forest, which is grown when it is first needed.
    """

    def __init__(self, codes: np.ndarray, candidates: Sequence[Candidate], random_state: int):
        self.codes = codes
        self.scores = np.array([each.mean for each in candidates])
        self._measured: dict[tuple[int, ...], float] = {}
        for row in np.unique(codes, axis=0):
            self._measured[tuple(row)] = float(self.scores[(codes == row).all(1)].mean())
        self._encoder = OneHotEncoder(sparse_output=False).fit(codes)
        self._random_state = random_state

    def mean(self, factor: int, level: int) -> float:
        """Score with that level in the place of every candidate's own."""
        cells = self._with(factor, level)
        found = np.array([self._measured.get(tuple(cell), np.nan) for cell in cells])
        missing = np.isnan(found)
        if missing.any():
            found[missing] = self._forest.predict(self._encoder.transform(cells[missing]))
        return float(found.mean())

    def _with(self, factor: int, level: int) -> np.ndarray:
        """The candidates' levels with that one among them, as far as such candidates can be."""
        cells = self.codes[self.codes[:, factor] >= 0]
        tried = cells[cells[:, factor] == level]
        applies = np.ones(len(cells), bool)
        for other in range(cells.shape[1]):
            if (tried[:, other] < 0).all():  # it never applies with this level, as the length of slots without any
                cells[:, other] = -1
            elif (tried[:, other] >= 0).all():
                applies &= cells[:, other] >= 0
        cells[:, factor] = level
        return cells[applies]

    @cached_property
    def _forest(self) -> RandomForestRegressor:
        forest = RandomForestRegressor(TREES, random_state=self._random_state)
        return forest.fit(self._encoder.transform(self.codes), self.scores)


def _parameter(number: int, factor: Factor, table: ScoreTable, higher: bool) -> Parameter:
    levels = []
    for code, value in enumerate(factor.levels):
        scores = sorted(table.scores[factor.codes == code].tolist(), reverse=higher)
        levels.append(Level(value, table.mean(number, code), tuple(scores)))
    means, weights = np.array([each.mean for each in levels]), [len(each.scores) for each in levels]
    variance = float(table.scores.var())
    around = (means - np.average(means, weights=weights)) ** 2
    explained = np.dot(around, weights) / len(table.scores)
    return Parameter(factor.name, min(1.0, float(explained / variance)) if variance else 0.0, tuple(levels))
