"""Trials: ways to classify with a template, each judged by cross-validation."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from softcloze.automatic.arrangement import arrange
from softcloze.automatic.budget import Budget
from softcloze.automatic.cost import SAMPLE, tokens_of_prompts, tokens_per_text
from softcloze.automatic.proposals import Proposal
from softcloze.backbone import Backbone
from softcloze.classifiers import PromptClassifier
from softcloze.data import Example
from softcloze.errors import OneSidedWarning
from softcloze.heads import ExactFit, Head, WordHead, WordsLinearHead, fit_exact
from softcloze.prompt import Probe, Prompt
from softcloze.template import ChatOptions, with_slots
from softcloze.verbalizer import AnyVerbalizer, Verbalizer

SLOTS = 10  # vectors of a soft prompt
SOFT_FOLDS = 3  # each takes a training of its own


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One way to classify, fitted to the examples.

    Attributes:
        prompt: the prompt, with its head and its vectors; or a probe on sentence embeddings.
        log_probabilities: of the labels of each example by a prompt that did not learn from it, in nats, shape
            (examples, labels).
        targets: index of each example's label, shape (examples,).
        weights: of the examples, with mean 1, shape (examples,).
        tokens: that the model computes to predict a text, as `tokens_per_text` counts them.
    """

    prompt: Prompt | Probe
    log_probabilities: NDArray[np.float64]
    targets: NDArray[np.int_]
    weights: NDArray[np.float64]
    tokens: float

    def first(self, count: int) -> "Trial":
        """The trial as its first examples alone judge it."""
        weights = self.weights[:count]
        return replace(
            self,
            log_probabilities=self.log_probabilities[:count],
            targets=self.targets[:count],
            weights=weights / weights.mean(),
        )

    @property
    def losses(self) -> NDArray[np.float64]:
        """The weighted log loss of each example, in nats, shape (examples,)."""
        losses: NDArray[np.float64] = -self.log_probabilities[np.arange(len(self.targets)), self.targets]
        return self.weights * losses

    @property
    def log_loss(self) -> float:
        """Mean log loss in nats."""
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        """Share of the examples, by weight, whose most probable label is their own."""
        return float((self.weights * (self.log_probabilities.argmax(1) == self.targets)).mean())


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled examples, and what all trials on them share.

    Attributes:
        backbone: the model.
        examples: the examples.
        targets: index of the label of each, shape (examples,).
        weights: of the examples, with mean 1, shape (examples,).
        max_length: limit of a prompt in tokens.
        seed: seed of the folds and of soft prompts.
        chat_options: values of variables of the tokenizer's chat template.
    """

    backbone: Backbone
    examples: Sequence[Example]
    targets: NDArray[np.int_]
    weights: NDArray[np.float64]
    max_length: int | None
    seed: int
    chat_options: ChatOptions | None = None

    def first(self, count: int) -> "Task":
        """The task with its first examples alone."""
        weights = self.weights[:count]
        return replace(
            self, examples=self.examples[:count], targets=self.targets[:count], weights=weights / weights.mean()
        )


def hard_trials(task: Task, proposal: Proposal, features: Tensor, label_features: Tensor) -> list[Trial]:
    """Judge label words alone, and the mean of a linear layer and of words with a linear layer; else the layer alone.

    The two are solved separately, and their mean is a single head, since both are linear in the same features. It is
    better than either, and costs no more.

    Args:
        task: the examples.
        proposal: the template and the label words.
        features: scores of the label words, if it has words, then states, shape (examples, features).
        label_features: the same for a text for each label, as for `fit_exact`; or for none.
    """
    verbalizer, goals = proposal.verbalizer, task.targets.tolist()
    if proposal.orders and isinstance(verbalizer, Verbalizer):
        verbalizer, features, label_features = arrange(
            verbalizer, proposal.orders, features, label_features, task.targets
        )

    prompts, scorer = proposal.compiled.encode(task.examples[:SAMPLE]), proposal.compiled.scorer

    def trial(name: str, head: Head, log_probabilities: NDArray[np.float64]) -> Trial:
        prompt = Prompt(
            proposal.template,
            verbalizer,
            task.backbone.name,
            task.backbone.fingerprint,
            head=name,
            head_tensors=head.state_dict(),
            max_length=task.max_length,
            chat_options=task.chat_options,
            features=proposal.features,
            training={"examples": len(goals), "seed": task.seed} if name != "words" else {},
        )
        tokens = tokens_of_prompts(scorer.with_states(()) if name == "words" else scorer, prompts)
        return Trial(prompt, log_probabilities, task.targets, task.weights, tokens)

    def fitted(name: str, first: int) -> ExactFit:
        of_labels = label_features[:, first:]
        return fit_exact(
            name,
            verbalizer,
            features[:, first:],
            goals,
            weights=task.weights,
            label_features=of_labels,
            seed=task.seed,
        )

    scored = verbalizer.scored if proposal.has_words else 0
    linear = fitted("linear", scored)
    if not scored:
        return [trial("linear", linear.head, linear.log_probabilities)]
    beside_words, words = fitted("words+linear", 0), WordHead(verbalizer)
    mean = (linear.log_probabilities + beside_words.log_probabilities) / 2
    return [
        trial("words+linear", mean_head(verbalizer, linear.head, beside_words.head), log_softmax(mean, axis=1)),
        trial("words", words, log_softmax(words.label_scores(features.double()).numpy(), axis=1)),
    ]


def mean_head(verbalizer: AnyVerbalizer, linear: Head, beside_words: Head) -> WordsLinearHead:
    """The head whose label scores are the mean of those of a linear layer and of label words with a linear layer."""
    one, other = linear.state_dict(), beside_words.state_dict()
    weight, bias = ((one[name] + other[name]) / 2 for name in ("weight", "bias"))
    return WordsLinearHead(verbalizer, other["scale"] / 2, weight, bias)


def soft_trial(task: Task, hard: Prompt, budget: Budget) -> Trial | None:
    """Judge a soft prompt: ten vectors at the start of the template, or of the turn that shows the text.

    Args:
        task: the examples.
        hard: a prompt with the template and the label words.
        budget: the clock.

    Returns:
        The trial; None if a training shows that the time does not suffice for the others.
    """
    from sklearn.model_selection import StratifiedKFold

    def fitted(rows: NDArray[np.int_]) -> PromptClassifier:
        classifier = PromptClassifier(
            task.backbone,
            with_slots(hard.template, front=SLOTS),
            hard.verbalizer,
            max_length=task.max_length,
            chat_options=task.chat_options,
            random_state=task.seed,
        )
        return classifier.fit([task.examples[i] for i in rows], labels[rows].tolist(), task.weights[rows])

    labels = np.asarray(hard.verbalizer.labels)[task.targets]
    log_probabilities = np.empty((len(labels), len(hard.verbalizer.labels)))
    folds = min(SOFT_FOLDS, int(np.bincount(task.targets).min()))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=task.seed % 2**32)
    with warnings.catch_warnings():
        # a prompt that does not learn shows in its log loss
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", OneSidedWarning)
        for fold, (train, test) in enumerate(splitter.split(labels, labels)):
            started = budget.elapsed
            classifier = fitted(train)
            log_probabilities[test] = classifier.predict_log_proba([task.examples[i] for i in test])
            last, left = budget.elapsed - started, folds - 1 - fold
            final = last * folds / (folds - 1)  # with as much longer as there are more examples
            if not budget.allows(left * last + final, step=last if left else final):
                return None
        classifier = fitted(np.arange(len(labels)))
    tokens = tokens_per_text([classifier], task.examples)
    return Trial(classifier.prompt_, log_probabilities, task.targets, task.weights, tokens)
