"""What can be compared: any classifier of texts, and the usual ones by name."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from softcloze.backbone import Backbone
from softcloze.classifiers import PromptClassifier
from softcloze.data import Examples
from softcloze.errors import ParameterError
from softcloze.experiments.baselines import FineTunedClassifier, Trained, tfidf
from softcloze.experiments.protocol import Fold
from softcloze.experiments.results import MethodCard
from softcloze.experiments.score_cache import ScoreCache
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.template import Demos, Field, Template, with_slots
from softcloze.verbalizer import AnyVerbalizer, Label, Words

ROUNDING = 1e-3  # by which the sum of probabilities may miss 1
WITHOUT_EXAMPLES = (None, "contextual", "pmi")  # calibrations that ask the model alone


class Measured(NamedTuple):
    """What a method makes of the held-out texts, and what it took; see `softcloze.experiments.results.Run`."""

    probabilities: np.ndarray
    trainable: int
    fit_seconds: float
    predict_seconds: float
    artifact_bytes: int | None


@dataclass(frozen=True, slots=True)
class Method:
    """A classifier of texts with a name.

    Attributes:
        name: unique in a comparison.
        classifier: any estimator of scikit-learn that takes texts: a `PromptClassifier`, a pipeline that begins with a
            vectorizer, a search over settings. It is cloned for each run, and every `random_state` in it becomes the
            run's seed. A search without a `cv` of its own chooses as `Protocol.folds` says. Without
            `predict_proba` the label that it predicts has probability 1.
        description: one line for people; by default what the classifier is.
        wording_of: the same text for methods that differ in their wording alone; tables and reports then tell how far
            apart these are.
    """

    name: str
    classifier: BaseEstimator
    description: str = ""
    wording_of: str | None = None

    @property
    def card(self) -> MethodCard:
        """What it is, for people."""
        prompt = isinstance(self.classifier, PromptClassifier)
        template = str(resolve_template(self.classifier.template)) if prompt else None
        steps = (
            [step for _, step in self.classifier.steps] if isinstance(self.classifier, Pipeline) else [self.classifier]
        )
        what = ", ".join(type(step).__name__ for step in steps)
        return MethodCard(self.name, self.description or what, template, self.wording_of)

    @property
    def learns(self) -> bool:
        """Whether it needs training rows: all do but hard prompts without demonstrations or a calibration by rows."""
        classifier = self.classifier
        if not isinstance(classifier, PromptClassifier):
            return True
        template = resolve_template(classifier.template)
        return bool(
            template.blocks
            or template.demos is not None
            or classifier.head != "words"
            or classifier.verbalizer is None
            or classifier.calibration not in WITHOUT_EXAMPLES
        )

    def prepared(self, seed: int, folds: Callable[[], list[Fold]]) -> BaseEstimator:
        """A fresh classifier for one run."""
        classifier = clone(self.classifier)
        parameters = classifier.get_params()
        dice = {name: seed for name in parameters if name.rpartition("__")[2] == "random_state"}
        choices = [name for name, value in parameters.items() if name.rpartition("__")[2] == "cv" and value is None]
        classifier.set_params(**dice, **{name: folds() for name in choices})
        return classifier


def measure_classifier(
    classifier: BaseEstimator, train: Examples, readings: ScoreCache, classes: Sequence[str]
) -> Measured:
    """Train a classifier, unless there is nothing to train on, and score texts.

    Args:
        classifier: a fresh one; it keeps what it learns.
        train: rows to learn from, or none.
        readings: the texts to score, and what is known of them.
        classes: the order of the columns.

    Raises:
        ParameterError: the classifier has labels that are none of `classes`, or gives something else than
            probabilities.
    """
    started = time.perf_counter()
    if len(train):
        classifier.fit(list(train.texts), list(train.labels))
    fitted = time.perf_counter()
    known = readings.predict_proba(classifier)
    found, seconds = known if known is not None else _scores(classifier, readings.texts)
    return Measured(
        probabilities=_in_order(found, _labels(classifier), classes),
        trainable=_trainable(classifier),
        fit_seconds=fitted - started if len(train) else 0.0,
        predict_seconds=seconds,
        artifact_bytes=_artifact_bytes(classifier),
    )


def standard_methods(
    model: str | Backbone,
    template: str | Template,
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer,
    *,
    calibrations: Iterable[str] = ("contextual", "pmi", "domain", "batch"),
    demonstrations: int = 4,
    soft: int = 10,
    analyzer: str = "word",
    fine_tuning: Iterable[Trained] = ("head", "all"),
) -> tuple[Method, ...]:
    """One wording in all the usual ways, and the usual baselines.

    Args:
        model: as for `PromptClassifier`.
        template: without soft slots or demonstrations, with one field as a tag.
        verbalizer: label words.
        calibrations: a hard prompt with each.
        demonstrations: labelled examples in the context of the one that has some.
        soft: vectors of each soft prompt.
        analyzer: "word" or "char"; see `tfidf`.
        fine_tuning: what `FineTunedClassifier` trains: "head", "all" and "lora", which needs peft.

    Raises:
        ParameterError: a template of another kind.

    >>> [method.name for method in standard_methods("starter:bert-tiny", "sentiment/en-cloze", "sentiment/en-cloze")]
    ['hard', 'hard, contextual', 'hard, pmi', 'hard, domain', 'hard, batch', 'demonstrations', 'soft in front',
     'soft after the text', 'soft in both places', 'soft head', 'linear head', 'TF-IDF', 'fine-tuning, head',
     'fine-tuning, all']
    """
    hard = resolve_template(template)
    if hard.blocks or hard.demos is not None or not any(isinstance(node, Field) for node in hard.nodes):
        raise ParameterError(
            f"{str(hard)!r}: the standard methods add soft slots and demonstrations themselves, to a template with a "
            "field and without either"
        )

    def prompt(template: Template, **settings: Any) -> PromptClassifier:  # noqa: ANN401
        return PromptClassifier(model, template, verbalizer, **settings)

    shown = Template.from_nodes([Demos(demonstrations), *hard.nodes])
    return (
        Method("hard", prompt(hard), "the words alone"),
        *(
            Method(f"hard, {name}", prompt(hard, calibration=name), f"the words alone, with {name} calibration")
            for name in calibrations
        ),
        Method("demonstrations", prompt(shown), "labelled examples in the context"),
        Method("soft in front", prompt(with_slots(hard, front=soft)), "trained vectors in front"),
        Method("soft after the text", prompt(with_slots(hard, after=soft)), "trained vectors after the text"),
        Method(
            "soft in both places",
            prompt(with_slots(hard, front=-(-soft // 2), after=soft // 2)),
            "half of the trained vectors in either place",
        ),
        Method("soft head", prompt(hard, head="warp", epochs=20), "a trained row for each label, from its words"),
        Method("linear head", prompt(hard, head="linear", epochs=100), "a linear layer on the state at the mask"),
        Method("TF-IDF", tfidf(analyzer), "logistic regression on words or runs of characters"),
        *(
            Method(f"fine-tuning, {name}", FineTunedClassifier(model, trained=name), "a new head on the model")
            for name in fine_tuning
        ),
    )


def _scores(classifier: BaseEstimator, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Probabilities by the classifier itself, and the seconds that takes."""
    started = time.perf_counter()
    if hasattr(classifier, "predict_proba"):
        found = np.asarray(classifier.predict_proba(texts), np.float32)
    else:
        best = np.asarray(classifier.predict(texts))
        found = np.asarray(best[:, None] == np.asarray(_labels(classifier)), np.float32)
    return found, time.perf_counter() - started


def _labels(classifier: BaseEstimator) -> list[str]:
    if isinstance(classifier, PromptClassifier) and not hasattr(classifier, "classes_"):
        verbalizer = resolve_verbalizer(classifier.verbalizer)
        return [str(label) for label in verbalizer.labels] if verbalizer is not None else []
    return [str(label) for label in classifier.classes_]


def _in_order(found: np.ndarray, labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Probabilities in the order of `classes`; 0 for those that no training row had."""
    unknown = sorted({*labels} - {*classes})
    if unknown:
        raise ParameterError(
            f"the classifier has labels {', '.join(map(repr, unknown))}, and the data {', '.join(map(repr, classes))}"
        )
    if not np.isfinite(found).all() or found.min() < 0 or np.abs(found.sum(1) - 1).max() > ROUNDING:
        raise ParameterError("the classifier gives probabilities that are negative, no numbers or do not sum to 1")
    ordered = np.zeros((len(found), len(classes)), np.float32)
    ordered[:, [classes.index(label) for label in labels]] = found
    return ordered


def _trainable(classifier: BaseEstimator) -> int:
    fitted = getattr(classifier, "best_estimator_", classifier)
    fitted = fitted[-1] if isinstance(fitted, Pipeline) else fitted
    match fitted:
        case PromptClassifier():
            prompt = fitted.prompt_ if hasattr(fitted, "prompt_") else None
            tensors = [] if prompt is None else [*prompt.vectors.values(), *prompt.head_tensors.values()]
            return sum(tensor.numel() for tensor in tensors)
        case FineTunedClassifier():
            return fitted.trainable_
        case _:
            return sum(np.size(getattr(fitted, name, ())) for name in ("coef_", "intercept_"))


def _artifact_bytes(classifier: BaseEstimator) -> int | None:
    """What a saved prompt or the trained weights take; of other estimators only a pickle could be kept."""
    fitted = getattr(classifier, "best_estimator_", classifier)
    if isinstance(fitted, FineTunedClassifier):
        return fitted.artifact_bytes_
    if not isinstance(fitted, PromptClassifier):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "prompt"
        try:
            fitted.save(folder)
        except ParameterError:  # a transformer chooses them
            return None
        return sum(file.stat().st_size for file in folder.iterdir())
