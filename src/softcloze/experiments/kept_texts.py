"""Texts of generators kept in a folder, from which an interrupted comparison resumes."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator, clone

from softcloze.data import Example
from softcloze.experiments.run_cache import VERSIONS, identity
from softcloze.files import write_text
from softcloze.parameters import NUMBER, TEXT, Constraint


class TrainingPairs(NamedTuple):
    """Examples and their answers."""

    examples: Sequence[Example]
    answers: Sequence[str]


class KeptTexts:
    """A generator whose texts are kept in a folder. It is fitted, and its model runs, only where they are not there."""

    def __init__(self, generator: BaseEstimator, folder: Path, pairs: TrainingPairs | None = None):
        """Keep the texts of a generator.

        Args:
            generator: with its parameters; a clone of it is fitted.
            folder: has a file for each result; made if it is missing.
            pairs: to train on; None for a generator that writes without `fit`.
        """
        self._generator, self._folder, self._pairs = generator, folder, pairs

    def predict(self, X: Iterable[Example]) -> list[str]:
        """The text of each example.

        Raises:
            ParameterError: a parameter of the generator has no identity besides its address in memory.
            SoftclozeError: as `fit` and `predict` of the generator.
        """
        examples = list(X)
        return self._kept("predict", (examples,), TEXT, lambda: self._fitted.predict(examples))

    def log_likelihood(self, X: Iterable[Example], answers: Iterable[str]) -> list[float]:
        """Mean log-probability of the tokens of each answer, in nats; raises as `predict`."""
        given = list(X), list(answers)
        return self._kept("log_likelihood", given, NUMBER, lambda: self._fitted.log_likelihood(*given))

    @cached_property
    def _fitted(self) -> Any:  # noqa: ANN401 - an estimator with the methods of a generator
        generator = clone(self._generator)
        return generator.fit(*self._pairs) if self._pairs is not None else generator

    def _kept(
        self, method: str, given: tuple[list[Any], ...], values: Constraint, compute: Callable[[], Iterable[Any]]
    ) -> list[Any]:
        """The results of a method: those of the folder, or new ones, which are kept there."""
        parts = identity([self._generator, self._pairs, method, given, VERSIONS])
        path = self._folder / f"{sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}.json"
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # missing or damaged
            results = None
        if not isinstance(results, list) or len(results) != len(given[0]) or not all(map(values.holds, results)):
            results = [value if isinstance(value, str) else float(value) for value in compute()]
            self._folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(results))
        return results
