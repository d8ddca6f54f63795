"""Guesses, estimates and doubts of a labelling, by the head that learns from its answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from softcloze.data import Example
from softcloze.errors import ParameterError
from softcloze.labelling import estimate as estimates
from softcloze.labelling.answering import Answering
from softcloze.labelling.answers import Doubt
from softcloze.labelling.estimate import CurvePoint, Estimate, Forecast
from softcloze.labelling.learner import Labelled, Learner, QuickFit, labelled_of
from softcloze.labelling.record import Answer
from softcloze.labelling.results import find_doubts, present_labels
from softcloze.labelling.states import Progress
from softcloze.labelling.validation import plain_index
from softcloze.parameters import integer, validate_parameters
from softcloze.verbalizer import Label

Result = TypeVar("Result")


class Assessing(Answering):
    """A labelling with a head that learns from the answers: what it says of texts, of itself and of the answers.

    Args:
        learner: the model and its head.
        texts: the texts.
        folder: of the journal; None for memory alone.
        multi_label: a text may have several labels, or none.
        lease: time in seconds for which a text is not shown to others.
        seed: of everything random.
    """

    def __init__(
        self,
        learner: Learner,
        texts: list[Example],
        folder: Path | None,
        *,
        multi_label: bool,
        lease: float,
        seed: int,
    ):
        """Keep the parameters."""
        super().__init__(texts, folder, multi_label=multi_label, lease=lease, seed=seed)
        self._learner = learner
        self._once: dict[str, tuple[tuple[int, int], Any]] = {}

    def read(self, on_progress: Progress | None = None) -> Self:
        """Load the model and compute the features of all texts, or take them from the folder.

        The first `ask` does so otherwise. Called again after a new label, it computes the scores of its word as well;
        until then classifiers use the states alone.

        Args:
            on_progress: called with the number of texts that are done and the number of all.

        Returns:
            The labeller itself.

        Raises:
            SoftclozeError: as `PromptClassifier.fit`, for the model, the template and the texts.
        """
        self._learner.read(self.labels, on_progress)
        self._once.clear()
        return self

    def _fit_for(self, labels: tuple[Label, ...]) -> QuickFit | None:
        """The last head, unless a label that it has was renamed since."""
        fit = self._learner.fit
        known = fit.labelled.labels if fit is not None else ()
        return fit if known == labels[: len(known)] else None

    def guess(self, index: int) -> dict[Label, float]:
        """Probabilities of the labels of a text by the last classifier, the likeliest first.

        Before the first answers they are those of the label words alone, or equal. Show them only on request, or after
        the answer: who sees a guess first tends to agree.

        Raises:
            ParameterError: there is no such text, or texts have several labels.
        """
        self._validate_one_label("a guess")
        index, labels = plain_index(index, len(self.texts)), self.labels
        fit = self._fit_for(labels)
        logs = np.zeros(len(labels))
        if fit is not None:
            labels, logs = fit.labelled.labels, fit.log_probabilities[index]
        elif self._learner.has_read and (words := self._learner.features(labels).words) is not None:
            logs = words[index]
        probabilities = np.exp(logs - np.logaddexp.reduce(logs))
        order = np.argsort(-probabilities, kind="stable")
        return {labels[i]: float(probabilities[i]) for i in order}

    def estimate(self) -> Estimate | None:
        """Estimate the balanced accuracy of `classifier` on the other texts; None with too few labelled texts.

        Raises:
            ParameterError: texts have several labels.
        """
        self._validate_one_label("an estimate")
        return self._computed("estimate", self._estimate)

    def learning_curve(self) -> list[CurvePoint]:
        """Balanced accuracy by the number of labelled texts so far; raises as `estimate`."""
        self._validate_one_label("a learning curve")
        return self._computed("curve", self._learning_curve)

    def forecast(self, more: int = 10) -> Forecast | None:
        """Balanced accuracy that so many more labelled texts are expected to add; raises as `estimate`.

        Returns:
            The forecast for `more` texts, or for all that are left, if these are fewer. None with too few labelled
            texts, or if no text is left.
        """
        validate_parameters({"more": more}, {"more": integer(at_least=1)})
        curve = self.learning_curve()
        left = len(self.texts) - len(self._record.given)
        return estimates.forecast(curve, min(more, left), self._seed) if left else None

    def doubts(self, n: int | None = None) -> list[Doubt]:
        """Labelled texts, held-out ones included, the most doubtful label first; before all, where people do not agree.

        Args:
            n: number of texts, at most; None for all.

        Raises:
            ParameterError: texts have several labels.
        """
        self._validate_one_label("a doubt")
        return self._computed("doubts", self._doubts)[:n]

    def _present(self) -> tuple[tuple[Label, ...], list[Answer]]:
        """The labels that texts to learn from have, and the answers of these."""
        labelled, answers = self._training()
        return present_labels(labelled.labels, [answer.labels for answer in answers]), answers

    def _training(self) -> tuple[Labelled, list[Answer]]:
        """The labelled texts to learn from; of several labels the first stands for all."""
        if not self._learner.has_read:
            self.read()
        with self._mutex:
            self._sync()
            answered, labels = self._record.answered, tuple(self._record.labels)
            answers = [answer for answer in self._record.answers() if answer.index not in self._record.held_out]
        return labelled_of(answered, labels, answers), answers

    def _computed(self, name: str, compute: Callable[[], Result]) -> Result:
        """A result for the answers and labels so far, computed once."""
        with self._mutex:
            self._sync()
            state = self._record.answered, len(self._record.labels)  # renaming counts as an answer
        known = self._once.get(name)
        if known is None or known[0] != state:
            known = self._once[name] = state, compute()
        result: Result = known[1]
        return result

    def _estimate(self) -> Estimate | None:
        labelled, answers = self._training()
        held = [answer for answer in self._answers() if answer.index in self._record.held_out]
        other = labelled_of(0, labelled.labels, held)
        return estimates.estimate(
            self._learner.features(labelled.labels),
            labelled.rows,
            labelled.targets,
            len(labelled.labels),
            held_out=other.rows,
            held_out_targets=other.targets,
            rest=np.setdiff1d(np.arange(len(self.texts)), [*self._record.given]),
            sample=all(answer.how == "random" for answer in answers),
            seed=self._seed,
        )

    def _learning_curve(self) -> list[CurvePoint]:
        labelled, _ = self._training()
        features = self._learner.features(labelled.labels)
        return estimates.learning_curve(features, labelled.rows, labelled.targets, len(labelled.labels), self._seed)

    def _doubts(self) -> list[Doubt]:
        labelled, _ = self._training()
        others = {text.index: text.other for text in self.disputes() if text.other is not None}
        return find_doubts(self._learner, labelled_of(0, labelled.labels, self._answers()), self._seed, others)

    def _validate_one_label(self, what: str) -> None:
        if self.multi_label:
            raise ParameterError(f"{what} is of texts with one label each, and this labelling has multi_label=True")
