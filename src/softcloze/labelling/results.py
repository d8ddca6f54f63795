"""Results of a labelling: the classifier of the labelled texts, and the labels that are doubtful."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from softcloze.automatic import AutoPromptClassifier
from softcloze.automatic.proposals import Proposal
from softcloze.automatic.trials import Task, hard_trials
from softcloze.classifiers import MultiLabelPromptClassifier
from softcloze.data import Example, label_indices
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import quoted, quoted_list
from softcloze.labelling.answers import Doubt, OtherAnswer, Predictions
from softcloze.labelling.doubts import Neighbour, nearest, rank_doubts
from softcloze.labelling.estimate import cross_validated
from softcloze.labelling.head import Indices, class_weights
from softcloze.labelling.learner import Labelled, Learner
from softcloze.prompt import BoundPrompt, Prompt
from softcloze.verbalizer import Label, Words


def present_labels(labels: Sequence[Label], given: Sequence[Sequence[Label]]) -> tuple[Label, ...]:
    """The labels that some text has.

    Raises:
        DataError: they are fewer than two.
    """
    present = tuple(label for label in labels if any(label in of_text for of_text in given))
    if len(present) < 2:
        found = quoted_list(present) or "no label"
        raise DataError(f"{found} has texts, and a classifier needs two labels; label more texts")
    return present


def fit_linear(
    learner: Learner,
    texts: Sequence[Example],
    rows: Sequence[int],
    y: Sequence[Label],
    labels: tuple[Label, ...],
    *,
    max_length: int | None,
    seed: int,
) -> Prompt:
    """Solve a linear layer on the states, beside label words where they have scores, from what is read already.

    Args:
        learner: has read all texts.
        texts: the labelled texts.
        rows: indices of these texts.
        y: the label of each.
        labels: the labels, each of which some text has.
        max_length: limit of a prompt in tokens.
        seed: of the folds that choose the L2 strength.

    Raises:
        DataError: a label has a single text.
    """
    reading, wording, backbone = learner.reading_for(labels)
    targets = np.asarray(label_indices(y, reading.verbalizer.labels))
    task = Task(backbone, texts, targets, class_weights(targets, len(labels)), max_length, seed)
    proposal = Proposal(reading.compiled, len(reading.compiled.scorer.words) > 0, wording.states)
    trial = hard_trials(task, proposal, reading.texts[np.asarray(rows)], reading.labels)[0]
    return cast(Prompt, trial.prompt)


def fit_automatic(
    learner: Learner,
    texts: Sequence[Example],
    y: Sequence[Label],
    labels: tuple[Label, ...],
    *,
    words: Mapping[Label, Words],
    budget: str | float | None,
    max_length: int | None,
    seed: int,
) -> AutoPromptClassifier:
    """Choose template, label words and head by cross-validation; arguments as for `fit_linear`.

    Raises:
        DataError: as `AutoPromptClassifier.fit`.
    """
    _, _, backbone = learner.reading_for(labels)
    classifier = AutoPromptClassifier(
        backbone,
        verbalizer={label: words[label] for label in labels} if {*labels} <= {*words} else None,
        budget=budget,
        max_length=max_length,
        checkpoint=learner.folder,
        random_state=seed,
    )
    return classifier.fit(texts, y)


def fit_several(
    learner: Learner,
    texts: Sequence[Example],
    given: Sequence[Sequence[Label]],
    labels: tuple[Label, ...],
    *,
    max_length: int | None,
    seed: int,
) -> MultiLabelPromptClassifier:
    """Learn a threshold for each label, where a text may have several; arguments as for `fit_linear`.

    Raises:
        DataError: as `MultiLabelPromptClassifier.fit`.
    """
    reading, wording, backbone = learner.reading_for(labels)
    classifier = MultiLabelPromptClassifier(
        backbone, wording.template, reading.verbalizer, max_length=max_length, random_state=seed
    )
    return classifier.fit(texts, given)


def validate_classifier(classifier: object, *, multi_label: bool) -> None:
    """Raise ParameterError for what is no fitted classifier, or one of the other kind."""
    if not (hasattr(classifier, "predict_proba") and hasattr(classifier, "classes_")):
        raise ParameterError(
            f"classifier is {quoted(classifier)}; expected a fitted classifier, such as that of classifier()"
        )
    if isinstance(classifier, MultiLabelPromptClassifier) != multi_label:
        expected = "texts have several labels" if multi_label else "each text has one label"
        raise ParameterError(f"classifier is a {type(classifier).__name__}, and in this labelling {expected}")


def predict_with(
    classifier: Any,  # noqa: ANN401 - any classifier of ours
    texts: Sequence[Example],
    rest: Indices,
    *,
    multi_label: bool,
) -> Predictions:
    """Predict the texts `rest` by a classifier, which reads them."""
    classes = tuple(classifier.classes_.tolist())
    probabilities = classifier.predict_proba([texts[index] for index in rest])
    if multi_label:
        several = [tuple(classes[i] for i in np.flatnonzero(row > 0.5)) for row in probabilities]
        return Predictions(rest, several, classes, probabilities)
    return Predictions(rest, [classes[i] for i in probabilities.argmax(1)], classes, probabilities)


def predict_without_a_pass(learner: Learner, prompt: Prompt, labels: tuple[Label, ...], rest: Indices) -> Predictions:
    """Predict the texts `rest` by a linear layer, from their states, which are computed already."""
    reading, _, backbone = learner.reading_for(labels)
    bound = BoundPrompt(prompt, backbone, reading.compiled)
    probabilities = bound.probabilities(bound.label_scores(reading.texts[rest]))
    classes = tuple(prompt.verbalizer.labels)
    return Predictions(rest, [classes[i] for i in probabilities.argmax(1)], classes, probabilities)


def find_doubts(
    learner: Learner, labelled: Labelled, seed: int, others: Mapping[int, OtherAnswer] | None = None
) -> list[Doubt]:
    """Labelled texts: those on which people do not agree, then those whose label a classifier doubts.

    Args:
        learner: has read all texts.
        labelled: the labelled texts.
        seed: of the folds, so that no classifier learns from the text that it judges.
        others: other answers by the index of their text, where two people do not agree.
    """
    if len(labelled.rows) < 2 or learner.space is None:
        return []
    labels, rows, targets, vectors = labelled.labels, labelled.rows, labelled.targets, learner.space.vectors
    logs = cross_validated(learner.features(labels), rows, targets, len(labels), seed)
    order, margins = rank_doubts(logs, targets)
    label_of = {row: labels[target] for row, target in zip(rows.tolist(), targets.tolist(), strict=True)}
    disputed, doubts = others or {}, []
    for i in sorted(order.tolist(), key=lambda i: int(rows[i]) not in disputed):
        index = int(rows[i])
        rivals = logs[i].copy()
        rivals[targets[i]] = -np.inf
        doubts.append(
            Doubt(
                index,
                label_of[index],
                labels[int(rivals.argmax())],
                float(margins[i]),
                dict(zip(labels, np.exp(logs[i]).tolist(), strict=True)),
                [Neighbour(near, label_of[near], cosine) for near, cosine in nearest(vectors, index, rows)],
                disputed.get(index),
            )
        )
    return doubts
