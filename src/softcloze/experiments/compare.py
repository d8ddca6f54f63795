"""Compare a hard prompt with soft prompts: same training rows, same held-out rows, several draws."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from sklearn.metrics import recall_score

from softcloze.backbone import Backbone, load_backbone
from softcloze.estimator import PromptClassifier, resolve_verbalizer
from softcloze.experiments.errors import ExperimentError
from softcloze.experiments.few_shot import few_shot
from softcloze.experiments.memory import PeakMemory
from softcloze.experiments.progress import Meter, Progress
from softcloze.experiments.scoring import score_seeds
from softcloze.library import resolve_template
from softcloze.starters import Examples, Split
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, Label, Words


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What one method achieved and what it took; a run is one draw of training rows, or the only one without any.

    Attributes:
        method: what was done, for people.
        template: the template as it was given.
        accuracies: share of held-out rows that were right, of each run.
        balanced_accuracies: mean over classes of the share of their rows that were right, of each run.
        trainable: numbers that were trained.
        share: `trainable` over the backbone's parameters.
        fit_seconds: wall time of training, all runs together.
        predict_seconds: wall time of predicting all held-out rows, all runs together.
        peak_memory: bytes; see `softcloze.experiments.memory.PeakMemory`.
    """

    method: str
    template: str
    accuracies: tuple[float, ...]
    balanced_accuracies: tuple[float, ...]
    trainable: int
    share: float
    fit_seconds: float
    predict_seconds: float
    peak_memory: int

    @property
    def accuracy(self) -> float:
        """Mean of `accuracies`."""
        return fmean(self.accuracies)

    @property
    def accuracy_sd(self) -> float | None:
        """Sample standard deviation of `accuracies`; None for a single run."""
        return _sd(self.accuracies)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of `balanced_accuracies`."""
        return fmean(self.balanced_accuracies)

    @property
    def balanced_accuracy_sd(self) -> float | None:
        """Sample standard deviation of `balanced_accuracies`; None for a single run."""
        return _sd(self.balanced_accuracies)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods on the same rows.

    Attributes:
        rows: one result for each method.
        model: name of the backbone.
        parameters: the backbone's parameters.
        shots: training rows per class in each run of a soft prompt.
        seeds: the seed of each run.
        train_rows: rows that could be drawn.
        test_rows: rows that every run was measured on.
    """

    rows: tuple[MethodResult, ...]
    model: str
    parameters: int
    shots: int
    seeds: tuple[int, ...]
    train_rows: int
    test_rows: int


def compare(
    split: Split,
    *,
    model: str | Backbone,
    hard: str,
    soft: Sequence[str],
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer,
    shots: int = 16,
    seeds: int = 3,
    test_rows: int = 1000,
    demonstrations: str = "random",
    epochs: int = 3,
    batch_size: int = 4,
    learning_rate: float = 0.04,
    on_progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Measure a hard prompt without training and soft prompts trained on a few rows.

    Run s draws its rows with seed s and trains with it too; every soft prompt gets the same rows.

    Args:
        split: training rows to draw from, and rows to measure on.
        model: what to run them on; as for `PromptClassifier`.
        hard: a template without soft slots, or its name in the library.
        soft: templates with soft slots, or their names.
        verbalizer: label words; as for `PromptClassifier`.
        shots: training rows of each class.
        seeds: runs of each soft prompt.
        test_rows: held-out rows at most, taken from the front.
        demonstrations: how those that `<demos>` shows are chosen among the training rows; as for `PromptClassifier`.
        epochs: passes over the training rows, at most.
        batch_size: as for `PromptClassifier`.
        learning_rate: as for `PromptClassifier`.
        on_progress: called while it works. Training that stops early counts as if it had gone through all epochs.

    Raises:
        ExperimentError: a template of the wrong kind, too few rows, labels that have no words.
        SoftclozeError: whatever `PromptClassifier` raises.
    """
    hard_template = resolve_template(hard)
    soft_templates = [resolve_template(template) for template in soft]
    words = resolve_verbalizer(verbalizer)
    if words is None:
        raise ExperimentError("a comparison needs label words")
    if seeds < 1 or test_rows < 1 or epochs < 1:
        raise ExperimentError(f"seeds={seeds}, test_rows={test_rows}, epochs={epochs}: each has to be at least 1")
    _check_kinds(hard_template, soft_templates)
    _check_labels(split, words)
    draws = [few_shot(split.train.labels, shots, seed) for seed in range(seeds)] if soft else []
    test = Examples(split.test.texts[:test_rows], split.test.labels[:test_rows])
    if not len(test):
        raise ExperimentError("there are no held-out rows to measure on")

    backbone = load_backbone(model)
    # both are computed once and kept; the first method should not pay for all
    _ = backbone.fingerprint, backbone.embedding_rms
    work = len(test) + len(soft) * sum(epochs * len(rows) + len(test) for rows in draws)
    bench = _Bench(
        train=split.train,
        test=test,
        backbone=backbone,
        verbalizer=words,
        demonstrations=demonstrations,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        meter=Meter(work, on_progress),
    )
    rows = [bench.run("hard prompt", hard, hard_template, [])]
    for given, template in zip(soft, soft_templates, strict=True):
        rows.append(bench.run(f"soft prompt, {shots} per class", given, template, draws))
    return Comparison(
        rows=tuple(rows),
        model=backbone.name,
        parameters=backbone.parameters,
        shots=shots,
        seeds=tuple(range(seeds)),
        train_rows=len(split.train),
        test_rows=len(test),
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all methods of a comparison share."""

    train: Examples
    test: Examples
    backbone: Backbone
    verbalizer: AnyVerbalizer
    demonstrations: str
    epochs: int
    batch_size: int
    learning_rate: float
    meter: Meter

    def run(self, method: str, given: str, template: Template, draws: Sequence[list[int]]) -> MethodResult:
        """Measure one method: a fit for each draw, or without any the template as it stands."""
        with PeakMemory() as memory:
            started = time.perf_counter()
            classifiers = [self._fitted(template, rows, seed, given) for seed, rows in enumerate(draws)]
            if not draws:
                classifiers = [self._classifier(template, seed=0)]
            fitted = time.perf_counter()
            found = score_seeds(
                classifiers, self.test.texts, on_rows=lambda rows: self.meter.advance(rows, f"scoring {given}")
            )
            scored = time.perf_counter()
        trainable = sum(vectors.numel() for vectors in classifiers[0].prompt_.vectors.values()) if draws else 0
        return MethodResult(
            method=method,
            template=given,
            accuracies=tuple(float(np.mean(labels == np.asarray(self.test.labels))) for labels in found),
            balanced_accuracies=tuple(_balanced_accuracy(self.test.labels, labels) for labels in found),
            trainable=trainable,
            share=trainable / self.backbone.parameters,
            fit_seconds=fitted - started if draws else 0.0,
            predict_seconds=scored - fitted,
            peak_memory=memory.peak,
        )

    def _fitted(self, template: Template, rows: Sequence[int], seed: int, given: str) -> PromptClassifier:
        classifier = self._classifier(template, seed)
        doing = f"draw {seed + 1}, training {given}"
        self.meter.advance(0, doing)
        classifier.on_epoch = lambda record: self.meter.advance(len(rows), doing)
        classifier.fit([self.train.texts[i] for i in rows], [self.train.labels[i] for i in rows])
        self.meter.advance((self.epochs - len(classifier.history_)) * len(rows), doing)
        return classifier

    def _classifier(self, template: Template, seed: int) -> PromptClassifier:
        return PromptClassifier(
            self.backbone,
            template,
            self.verbalizer,
            demonstrations=self.demonstrations,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            random_state=seed,
        )


def _check_kinds(hard: Template, soft: Sequence[Template]) -> None:
    if hard.blocks:
        raise ExperimentError(f"{str(hard)!r} is given as the hard prompt but has soft slots")
    if hard.demos is not None:
        raise ExperimentError(
            f"{str(hard)!r} is given as the hard prompt, which sees no training rows, but has demonstrations"
        )
    for template in soft:
        if not template.blocks:
            raise ExperimentError(f"{str(template)!r} is given as a soft prompt but has no soft slots")
    for template in (hard, *soft):
        if len(template.fields) != 1:
            raise ExperimentError(
                f"a comparison fills one field with the text, but {str(template)!r} has "
                f"{', '.join(map(repr, template.fields)) or 'none'}"
            )


def _check_labels(split: Split, verbalizer: AnyVerbalizer) -> None:
    unknown = sorted({*split.train.labels, *split.test.labels} - {*verbalizer.labels})
    if unknown:
        raise ExperimentError(
            f"the data has labels {', '.join(map(repr, unknown))}, which the verbalizer does not name; "
            f"it has {', '.join(map(repr, verbalizer.labels))}"
        )


def _balanced_accuracy(true: Sequence[str], found: np.ndarray) -> float:
    """Mean recall of the classes that are there; scikit-learn's own warns about predicted classes that are not."""
    return float(recall_score(true, found, labels=sorted(set(true)), average="macro", zero_division=0))


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
