"""A trial without a prompt: a linear layer on sentence embeddings."""

import time
from collections.abc import Sequence

import numpy as np

from softcloze.automatic.budget import Budget
from softcloze.automatic.cost import SAMPLE
from softcloze.automatic.trials import Task, Trial
from softcloze.classifiers.probe import fit_probe
from softcloze.data import shown_fields
from softcloze.embeddings import SentenceEncoder
from softcloze.prompt.probe import field_texts
from softcloze.verbalizer import Label

FIRST = 128  # examples whose embedding tells the time that all take
SHARE = 2  # of the time that is left, embedding may take one part in so many


def probe_trial(
    task: Task, labels: Sequence[Label], names: Sequence[str], encoder: SentenceEncoder, budget: Budget
) -> Trial | None:
    """Judge a linear layer on the embeddings of all fields.

    Args:
        task: the examples, in the order of the other trials.
        labels: the labels.
        names: a text for each label, as a further example; or none.
        encoder: the encoder.
        budget: the clock.

    Returns:
        The trial; None if embedding the examples would take more than half of the time that is left.
    """
    fields = shown_fields(task.examples)
    texts, started = field_texts(fields, task.examples), time.monotonic()
    embeddings = encoder.embed(texts[:FIRST])
    if rest := texts[FIRST:]:
        if not budget.allows(SHARE * (time.monotonic() - started) / FIRST * len(rest)):
            return None
        embeddings = np.concatenate([embeddings, encoder.embed(rest)])
    probe, fit = fit_probe(
        encoder,
        fields,
        labels,
        embeddings,
        task.targets,
        names=names,
        weights=task.weights,
        seed=task.seed,
        record={},
    )
    tokens = sum(encoder.count_tokens(texts[:SAMPLE])) / len(texts[:SAMPLE])
    return Trial(probe, fit.log_probabilities, task.targets, task.weights, tokens)
