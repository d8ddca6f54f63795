"""States of all texts and scores of label words for them, computed once and kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from softcloze.automatic.feature_store import EncodedPart, FeatureStore
from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.heads import WordHead
from softcloze.label_words.label_names import name_verbalizer
from softcloze.labelling.head import Features
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import States
from softcloze.template import Template
from softcloze.verbalizer import Label, Verbalizer

CHUNK = 64  # texts between two reports of the progress
Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Wording:
    """A hard template with one mask, and the kind of states that are taken at it.

    Attributes:
        template: the template.
        states: "mean" or "mask", as `features` of `PromptClassifier`.
        max_length: limit of a prompt in tokens; None for the model's own limit.
    """

    template: Template
    states: States
    max_length: int | None

    def compile(self, verbalizer: Verbalizer, backbone: Backbone, *, words: bool) -> CompiledPrompt:
        """Compile for states and, with `words`, for the scores of label words before them."""
        head = "words+linear" if words else "linear"
        return CompiledPrompt(self.template, verbalizer, backbone, self.max_length, head, None, self.states)


@dataclass(frozen=True, eq=False)
class Reading:
    """The features of all texts, as heads take them.

    Attributes:
        compiled: the prompt with the labels that the features are for.
        texts: scores of label words, if `words`, and states after them, shape (texts, features).
        labels: the same of the names of the labels as texts, shape (labels, features) or (0, features).
        words: the names of the labels say something, and their scores belong to the features.
        verbalizer: the labels and their words.
    """

    compiled: CompiledPrompt
    texts: Tensor
    labels: Tensor
    words: bool
    verbalizer: Verbalizer

    def features(self, labels: Sequence[Label]) -> Features:
        """The features for heads that are solved while a person labels, with `labels` in this order."""
        verbalizer = self.verbalizer
        count = len(self.compiled.scorer.words)
        order = [verbalizer.labels.index(label) for label in labels]
        own = self.labels[order] if len(self.labels) else self.labels

        def scores(features: Tensor) -> np.ndarray | None:
            if not count:
                return None
            result: np.ndarray = WordHead(verbalizer).label_scores(features[:, :count].double()).numpy()[:, order]
            return result

        return Features(self.texts[:, count:].numpy(), scores(self.texts), own[:, count:].numpy(), scores(own))

    def with_labels(self, labels: Sequence[Label], wording: Wording) -> "Reading":
        """The reading for other labels: fewer, or others as well, whose words have no scores without a new reading."""
        known = self.verbalizer
        if {*labels} == {*known.labels}:
            return self
        backbone, count = self.compiled.backbone, len(self.compiled.scorer.words)
        states = range(count, self.texts.shape[1])
        if {*labels} <= {*known.labels}:
            verbalizer = Verbalizer(
                {label: known.words[known.labels.index(label)] for label in labels},
                known.aggregation,
                known.length_norm,
            )
            words = [known.all_words.index(word) for word in verbalizer.all_words] if count else []
            rows = [known.labels.index(label) for label in verbalizer.labels] if len(self.labels) else []
            columns = [*words, *states]
            compiled = wording.compile(verbalizer, backbone, words=self.words)
            return Reading(compiled, self.texts[:, columns], self.labels[:, columns][rows], self.words, verbalizer)
        verbalizer, named = words_of(labels)
        compiled = wording.compile(verbalizer, backbone, words=False)
        prompts = compiled.encode_labels() if named else []
        own = compiled.features(prompts, None).float() if prompts else self.labels[:0, count:]
        return Reading(compiled, self.texts[:, count:], own, False, verbalizer)


def words_of(labels: Sequence[Label]) -> tuple[Verbalizer, bool]:
    """The names of labels as their words, and whether they say something.

    >>> words_of(["cardLost", "fees"])[0].label_words(), words_of([0, 1])[1]
    ({'cardLost': ['card lost'], 'fees': ['fees']}, False)
    """
    named = name_verbalizer(labels)
    return (named, True) if named is not None else (Verbalizer({label: str(label) for label in labels}), False)


def read_texts(
    compiled: CompiledPrompt,
    verbalizer: Verbalizer,
    texts: Sequence[Example],
    *,
    words: bool,
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> Reading:
    """Compute the features of texts and labels by a frozen model, or take them from files where they are kept.

    Args:
        compiled: the prompt.
        verbalizer: its labels and their words.
        texts: the texts.
        words: the names of the labels say something, so that each is a text of its label as well.
        folder: where to keep the features, in files that are named after all that they depend on: the weights, the
            tokens of texts and label words, and the kind of states; None to keep nothing. An interrupted reading
            resumes from them.
        on_progress: called with the number of texts that are done and the number of all.

    Raises:
        EncodingError: a text cannot be encoded; names its index.
        FileError: the folder cannot be written.
    """
    store = FeatureStore(folder)
    prompts = compiled.encode(texts)
    parts = []
    for start in range(0, len(prompts), CHUNK):
        (features,) = store.features([EncodedPart(compiled, prompts[start : start + CHUNK])])
        parts.append(features.float())
        if on_progress is not None:
            on_progress(min(start + CHUNK, len(prompts)), len(prompts))
    read = torch.cat(parts)
    of_labels = compiled.encode_labels() if words else []
    (own,) = store.features([EncodedPart(compiled, of_labels)])
    return Reading(compiled, read, own.float(), words, verbalizer)
