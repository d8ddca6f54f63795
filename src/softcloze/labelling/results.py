"""Results of a labelling: the classifier of the labelled texts, and the labels that are doubtful."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from softcloze.automatic import AutoPromptClassifier
from softcloze.automatic.proposals import Proposal
from softcloze.automatic.trials import Task, hard_trials
from softcloze.classifiers import MultiLabelPromptClassifier, PromptClassifier
from softcloze.data import Example, label_indices
from softcloze.errors import DataError
from softcloze.formatting import quoted_list
from softcloze.labelling.answers import Doubt
from softcloze.labelling.doubts import Neighbour, nearest, rank_doubts
from softcloze.labelling.estimate import cross_validated
from softcloze.labelling.head import class_weights
from softcloze.labelling.learner import Labelled, Learner
from softcloze.prompt import Prompt
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
) -> PromptClassifier:
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
    return PromptClassifier.of_prompt(cast(Prompt, trial.prompt), backbone)


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


def find_doubts(learner: Learner, labelled: Labelled, seed: int) -> list[Doubt]:
    """Labelled texts, those first whose label a classifier doubts that did not learn from them."""
    if len(labelled.rows) < 2 or learner.space is None:
        return []
    labels, rows, targets, vectors = labelled.labels, labelled.rows, labelled.targets, learner.space.vectors
    logs = cross_validated(learner.features(labels), rows, targets, len(labels), seed)
    order, margins = rank_doubts(logs, targets)
    label_of = {row: labels[target] for row, target in zip(rows.tolist(), targets.tolist(), strict=True)}
    doubts = []
    for i in order.tolist():
        index = int(rows[i])
        others = logs[i].copy()
        others[targets[i]] = -np.inf
        doubts.append(
            Doubt(
                index,
                label_of[index],
                labels[int(others.argmax())],
                float(margins[i]),
                dict(zip(labels, np.exp(logs[i]).tolist(), strict=True)),
                [Neighbour(near, label_of[near], cosine) for near, cosine in nearest(vectors, index, rows)],
            )
        )
    return doubts
