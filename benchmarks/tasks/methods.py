"""The methods of the study by name, in families that are measured together and share forward passes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sklearn.base import BaseEstimator

from benchmarks.tasks.sets import Task
from softcloze import AutoPromptClassifier, PromptClassifier
from softcloze.cli.compare_methods import analyzer_for
from softcloze.experiments import FineTunedClassifier, SentenceEmbeddingClassifier, tfidf
from softcloze.library import resolve_template
from softcloze.template import with_slots

SOFT = 10  # vectors
HEADS = ("linear", "words+linear")  # solved exactly


@dataclass(frozen=True)
class Family:
    """Methods that are measured together.

    Attributes:
        methods: makes the classifier of each method for a task.
        draws: of the training rows.
        shared: whether the methods share forward passes over the held-out rows. A task is then measured with all
            numbers of rows together; otherwise all tasks are measured with one number of rows before the next one.
    """

    methods: Mapping[str, Callable[[Task], BaseEstimator]]
    draws: int = 5
    shared: bool = True


def _prompt(**settings: object) -> Callable[[Task], BaseEstimator]:
    return lambda task: PromptClassifier(task.model, task.template, task.words, **settings)


def _tfidf(task: Task) -> BaseEstimator:
    analyzer = analyzer_for(task.load().train.texts)
    return tfidf(analyzer).set_params(logisticregression__class_weight="balanced")


def _soft(place: str) -> Callable[[Task], BaseEstimator]:
    return lambda task: PromptClassifier(
        task.model, with_slots(resolve_template(task.template), **{place: SOFT}), task.words
    )


# quick families first: a study that runs out of time lacks the slow ones
FAMILIES = {
    "baselines": Family(
        {
            "tfidf": _tfidf,
            "embeddings": lambda task: SentenceEmbeddingClassifier(class_weight="balanced"),
        }
    ),
    "words": Family({"words": _prompt(), "words, batch": _prompt(calibration="batch")}),
    "heads": Family({head: _prompt(head=head) for head in HEADS}),
    "heads on means": Family({f"{head}, mean": _prompt(head=head, features="mean") for head in HEADS}),
    # without a clock and without soft prompts, so that a busy machine changes nothing
    "automatic": Family(
        {"automatic": lambda task: AutoPromptClassifier(task.model, budget=None, soft_prompts=0)}, shared=False
    ),
    "soft": Family({"soft, front": _soft("front"), "soft, after": _soft("after")}, draws=3, shared=False),
    "lora": Family({"lora": lambda task: FineTunedClassifier(task.model, trained="lora")}, draws=3, shared=False),
}
METHODS = {name: family for family in FAMILIES.values() for name in family.methods}
