"""Importance of each parameter: the share of the variance of scores that it explains (fANOVA)."""

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
        value: as text.
        mean: score with this value, averaged over the candidates' other parameters.
        scores: of the candidates with this value, the best first.
    """

    value: str
    mean: float
    scores: tuple[float, ...]

    @property
    def best(self) -> float:
        """The best score of a candidate with this value."""
        return self.scores[0]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that varied.

    Attributes:
        name: as in the search; for a template with soft slots, with the part of it.
        share: part of the variance of the candidates' scores that its values alone explain, from 0 to 1.
        levels: its values: numbers in ascending order, others in the order of the search.
    """

    name: str
    share: float
    levels: tuple[Level, ...]


def parameter_importance(
    candidates: Sequence[Candidate], higher: bool = True, random_state: int = 0
) -> tuple[Parameter, ...]:
    """The parameters that vary among candidates, the most important first.

    The mean of a value is averaged over every candidate's other parameters. A combination that was tried counts with
    its score; for others a random forest fitted to the candidates predicts the score. The share is the variance of
    these means, each value weighted by its candidates, divided by the variance of the candidates' scores. A parameter
    that does not apply to all candidates, such as the length of slots, is compared among those to which it applies.

    In a full grid every combination was tried: the shares are those of main effects in an analysis of variance, no
    forest is grown, and the rest is interaction. In a random search or a study they are estimates.

    Args:
        candidates: two or more with the same resources.
        higher: True if a higher score is better.
        random_state: seed of the forest.

    Source:
        Functional analysis of variance, fANOVA: Hutter, Hoos and Leyton-Brown, ICML 2014. There the forest predicts
        every combination, and values are weighted evenly over their ranges; here scores of tried combinations are
        used as measured, and values are weighted by their number of candidates.

    >>> grid = [{"epochs": epochs, "head": head} for epochs in (3, 6) for head in ("words", "warp")]
    >>> scores = (0.5, 0.6, 0.7, 0.8)
    >>> [(item.name, round(item.share, 3)) for item in parameter_importance([*map(Candidate, grid, scores)])]
    [('epochs', 0.8), ('head', 0.2)]
    """
    factors = factors_of([candidate.parameters for candidate in candidates])
    if not factors:
        return ()
    table = ScoreTable(np.stack([factor.codes for factor in factors], 1), candidates, random_state)
    parameters = [_parameter(index, factor, table, higher) for index, factor in enumerate(factors)]
    return tuple(sorted(parameters, key=lambda parameter: -parameter.share))


def noise_share(candidates: Sequence[Candidate]) -> float | None:
    """Share of the variance of the candidates' scores expected from chance in the folds if all were equally good.

    The variance of scores within candidates, without the effect of folds that are easy or hard for all of them,
    divided by the variance between candidates: 1 / F of an analysis of variance with folds as blocks.

    Args:
        candidates: with the same resources.

    Returns:
        From 0 to 1; at 1 the candidates differ no more than by chance. None without the scores of two folds.
    """
    counts = {len(candidate.folds) for candidate in candidates}
    if len(candidates) < 2 or len(counts) > 1 or counts <= {0, 1}:
        return None
    scores = np.array([candidate.folds for candidate in candidates])
    count, folds = scores.shape
    means = scores.mean(1)
    residuals = scores - means[:, None] - scores.mean(0) + scores.mean()
    chance = (residuals**2).sum() / ((count - 1) * (folds - 1)) / folds
    spread = float(means.var(ddof=1))
    return min(1.0, float(chance / spread)) if spread else 1.0


class ScoreTable:
    """The score of every combination of levels: as measured, or as predicted by a random forest.

    Args:
        codes: the candidates' levels, shape (candidates, factors).
        candidates: their scores.
        random_state: seed of the forest, which is grown on first use.
    """

    def __init__(self, codes: np.ndarray, candidates: Sequence[Candidate], random_state: int):
        self.codes = codes
        self.scores = np.array([candidate.mean for candidate in candidates])
        self._measured: dict[tuple[int, ...], float] = {}
        for row in np.unique(codes, axis=0):
            self._measured[tuple(row)] = float(self.scores[(codes == row).all(1)].mean())
        self._encoder = OneHotEncoder(sparse_output=False).fit(codes)
        self._random_state = random_state

    def mean(self, factor: int, level: int) -> float:
        """Mean score of all candidates with their level of `factor` replaced by `level`."""
        codes = self._with(factor, level)
        scores = np.array([self._measured.get(tuple(row), np.nan) for row in codes])
        missing = np.isnan(scores)
        if missing.any():
            scores[missing] = self._forest.predict(self._encoder.transform(codes[missing]))
        return float(scores.mean())

    def _with(self, factor: int, level: int) -> np.ndarray:
        """The candidates' levels with that of `factor` replaced, without combinations that cannot occur."""
        codes = self.codes[self.codes[:, factor] >= 0]
        tried = codes[codes[:, factor] == level]
        possible = np.ones(len(codes), bool)
        for other in range(codes.shape[1]):
            if (tried[:, other] < 0).all():  # never applies with this level, as the length without slots
                codes[:, other] = -1
            elif (tried[:, other] >= 0).all():
                possible &= codes[:, other] >= 0
        codes[:, factor] = level
        return codes[possible]

    @cached_property
    def _forest(self) -> RandomForestRegressor:
        forest = RandomForestRegressor(TREES, random_state=self._random_state)
        return forest.fit(self._encoder.transform(self.codes), self.scores)


def _parameter(index: int, factor: Factor, table: ScoreTable, higher: bool) -> Parameter:
    levels = []
    for code, value in enumerate(factor.levels):
        scores = sorted(table.scores[factor.codes == code].tolist(), reverse=higher)
        levels.append(Level(value, table.mean(index, code), tuple(scores)))
    means, weights = np.array([level.mean for level in levels]), [len(level.scores) for level in levels]
    variance = float(table.scores.var())
    deviations = (means - np.average(means, weights=weights)) ** 2
    explained = np.dot(deviations, weights) / len(table.scores)
    return Parameter(factor.name, min(1.0, float(explained / variance)) if variance else 0.0, tuple(levels))
