"""PromptClassifier: scikit-learn's parameters in, the layers wired together."""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from softcloze.backbone import Backbone, load_backbone
from softcloze.encoding import EncodedPrompt, Example
from softcloze.errors import SoftclozeError
from softcloze.library import load_verbalizer, resolve_template
from softcloze.prompt import BoundPrompt, Prompt
from softcloze.soft import SoftVectors, initial_vectors
from softcloze.template import Template
from softcloze.training import Checkpoint, Record, TrainingSettings, train, warn_if_stuck
from softcloze.verbalizer import Label, Verbalizer


class DataError(SoftclozeError, ValueError):
    """Examples or labels that do not fit."""


class PromptClassifier(ClassifierMixin, BaseEstimator):
    r"""Classify text with a frozen language model, a prompt template and label words.

    `fit` trains the template's soft slots and nothing else. A template without soft slots has nothing to
    learn: it predicts without `fit` when the verbalizer names the labels.

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a `Backbone`.
        template: a template string, the name of one in the library ("sentiment/zh"), or a `Template`.
        verbalizer: label -> word or words, the name of a table in the library, a `Verbalizer`, or None: every
            label is its own word.
        soft_init: what soft slots without `init=` start from: "template" (the template's own words), "labels" (the
            label words) or "vocabulary" (different frequent tokens of the training examples).
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW, in units of the root mean square of the model's embeddings.
        warmup_fraction: share of the steps in which the rate rises, before it falls to 0 linearly.
        max_grad_norm: length to which a longer gradient is cut.
        stop_loss: training ends when an epoch's mean training loss, in nats, falls below it; 0 never.
        early_stopping: hold out examples, stop when their loss no longer falls, and keep the best vectors.
        validation_fraction: share of each class held out then.
        n_iter_no_change: epochs without a better held-out loss before stopping.
        warm_start: go on from the vectors of the last `fit`, or of the loaded prompt.
        max_length: tokens a prompt may have; None for the model's own limit.
        dtype: "auto", "float32", "bfloat16" or "float16"; see `load_backbone`.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: seed of the initial vectors and of the order of examples.
        checkpoint: folder where an interrupted `fit` finds its progress again; None keeps none.
        on_epoch: called with each epoch's record while training.

    Attributes:
        classes_: the labels, sorted.
        prompt_: the trained `Prompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.

    Example:
        >>> clf = PromptClassifier(
        ...     model="starter:smollm2-135m",
        ...     template="<soft*10> Review: <text>\nSentiment: <mask>",
        ...     verbalizer={"positive": ["positive"], "negative": ["negative"]},
        ...     random_state=0,
        ... )
        >>> clf.fit(texts, labels).predict(["A delight."])  # doctest: +SKIP
        array(['positive'], dtype='<U8')

    Source:
        Prompt tuning: Lester et al., EMNLP 2021, arXiv:2104.08691. Templates and label words: Schick and
        Schütze, EACL 2021, arXiv:2001.07676.
    """

    def __init__(
        self,
        model: str | Backbone,
        template: str | Template,
        verbalizer: Mapping[Label, str | Sequence[str]] | str | Verbalizer | None = None,
        *,
        soft_init: str = "template",
        epochs: int = 6,
        batch_size: int = 8,
        learning_rate: float = 0.03,
        warmup_fraction: float = 0.1,
        max_grad_norm: float = 1.0,
        stop_loss: float = 0.3,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 3,
        warm_start: bool = False,
        max_length: int | None = None,
        dtype: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        checkpoint: str | Path | None = None,
        on_epoch: Callable[[Record], None] | None = None,
    ):
        self.model = model
        self.template = template
        self.verbalizer = verbalizer
        self.soft_init = soft_init
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.max_grad_norm = max_grad_norm
        self.stop_loss = stop_loss
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.max_length = max_length
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch

    def fit(self, X: Iterable[Example], y: Iterable[Label]) -> Self:
        """Train the soft slots; every weight of the model stays as it is.

        Args:
            X: str for a template with one field, else mappings from field names to values; a list, a pandas
                column or frame, or a column or rows of a `datasets.Dataset`.
            y: the label of each example.

        Returns:
            The classifier itself.

        Raises:
            TemplateSyntaxError: the template does not parse.
            VerbalizerError: label words that cannot tell the labels apart.
            DataError: examples and labels that do not fit together or the verbalizer.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or a label word cannot be encoded.
        """
        examples, labels = as_examples(X), _as_labels(y)
        if len(examples) != len(labels):
            raise DataError(f"X has {len(examples)} examples but y has {len(labels)} labels")
        if not examples:
            raise DataError("there are no examples to fit")
        template = resolve_template(self.template)
        verbalizer = resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            verbalizer = Verbalizer({label: str(label) for label in labels})
        targets = _targets(labels, verbalizer)
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        bound = BoundPrompt(template, verbalizer, backbone, self.max_length)
        prompts = bound.encode(examples)

        soft, training, history = None, {}, []
        if bound.compiled.blocks:
            settings = self._settings()
            soft = self._initial(bound, backbone, prompts, settings.seed)
            training = {"soft_init": self.soft_init, "examples": len(examples), **asdict(settings)}
            checkpoint = None
            if self.checkpoint is not None:
                checkpoint = Checkpoint(self.checkpoint, _digest(training, soft, bound, prompts, targets, backbone))
            history = train(
                soft,
                bound.scorer,
                verbalizer,
                prompts,
                targets,
                settings,
                checkpoint=checkpoint,
                on_epoch=self.on_epoch,
            )
            warn_if_stuck(history, bound.label_scores(prompts, [soft])[0].argmax(-1).tolist(), settings)
        self._adopt(
            Prompt(
                template=template,
                verbalizer=verbalizer,
                model=backbone.name,
                fingerprint=backbone.fingerprint,
                vectors=soft.by_block() if soft is not None else {},
                max_length=self.max_length,
                training={**training, "history": history} if training else {},
            ),
            backbone,
        )
        return self

    def decision_function(self, X: Iterable[Example]) -> np.ndarray:
        """Label log-scores in nats before normalisation.

        Returns:
            Shape (batch, labels) in the order of `classes_`, each row up to a constant; for two labels, as
            scikit-learn has it, shape (batch,): the score of the second less that of the first.
        """
        scores = self._label_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Probabilities of the labels, shape (batch, labels) in the order of `classes_`; rows sum to 1."""
        scores = self._label_scores(X)
        odds = np.exp(scores - scores.max(1, keepdims=True))
        probabilities: np.ndarray = odds / odds.sum(1, keepdims=True)
        return probabilities

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,)."""
        labels: np.ndarray = predict_together([self], X)[0]
        return labels

    def save(self, path: str | Path) -> None:
        """Save the prompt as a folder of a few kilobytes; the model is only named in it.

        Raises:
            NotFittedError: soft slots that were not trained.
            ArtifactError: something else is at `path`.
        """
        self._ready()[0].save(path)

    @classmethod
    def load(cls, path: str | Path, model: str | Backbone | None = None, **parameters: object) -> Self:
        """A fitted classifier from a saved prompt.

        Args:
            path: the folder that `save` wrote.
            model: where the model is now, if not where it was when the prompt was saved.
            **parameters: other parameters of the classifier.

        Raises:
            ArtifactError: damaged files, or a model that is not the one the prompt was trained on.
            BackboneError: the model cannot be loaded.
        """
        prompt = Prompt.load(path)
        settings = {name: value for name, value in prompt.training.items() if name in cls._get_param_names()}
        classifier = cls(
            model=model if model is not None else prompt.model,
            template=str(prompt.template),
            verbalizer=prompt.verbalizer,
            **{"max_length": prompt.max_length, **settings, **parameters},
        )
        backbone = load_backbone(classifier.model, dtype=classifier.dtype, device=classifier.device)
        prompt.check_backbone(backbone)
        classifier._adopt(prompt, backbone)
        return classifier

    def _adopt(self, prompt: Prompt, backbone: Backbone) -> None:
        self.prompt_ = prompt
        self.backbone_ = backbone
        self.classes_ = np.asarray(prompt.verbalizer.labels)
        self.history_: list[Record] = list(prompt.training.get("history", []))

    def _settings(self) -> TrainingSettings:
        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_fraction=self.warmup_fraction,
            max_grad_norm=self.max_grad_norm,
            stop_loss=self.stop_loss,
            early_stopping=self.early_stopping,
            validation_fraction=self.validation_fraction,
            patience=self.n_iter_no_change,
            seed=_seed(self.random_state),
        )

    def _initial(
        self, bound: BoundPrompt, backbone: Backbone, prompts: Sequence[EncodedPrompt], seed: int
    ) -> SoftVectors:
        if self.warm_start and hasattr(self, "prompt_"):
            return SoftVectors.from_blocks(bound.compiled.blocks, self.prompt_.vectors)
        return initial_vectors(
            bound.compiled,
            backbone,
            init=self.soft_init,
            prompts=prompts,
            words=bound.scorer.words,
            generator=np.random.default_rng(seed),
        )

    def _ready(self) -> tuple[Prompt, Backbone]:
        """The prompt to predict with: the fitted one, or a hard one that needs no fit."""
        if hasattr(self, "prompt_"):
            return self.prompt_, self.backbone_
        template, verbalizer = resolve_template(self.template), resolve_verbalizer(self.verbalizer)
        if template.blocks:
            raise NotFittedError(
                f"the soft slots of {str(template)!r} are not trained yet; call fit first, or take them out to "
                "predict with the hard prompt alone"
            )
        if verbalizer is None:
            raise NotFittedError("without a verbalizer the labels are not known before fit; give one, or call fit")
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        return Prompt(template, verbalizer, backbone.name, backbone.fingerprint, max_length=self.max_length), backbone

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `predict` works as it stands."""
        try:
            self._ready()
        except NotFittedError:
            return False
        return True

    def _label_scores(self, X: Iterable[Example]) -> np.ndarray:
        scores: np.ndarray = label_scores([self], X)[0]
        return scores


def label_scores(classifiers: Sequence[PromptClassifier], X: Iterable[Example]) -> np.ndarray:
    """Label log-scores by several classifiers that differ in their soft vectors alone.

    One pass for all: what stands before the first soft slot is read once. A classifier's scores are those it
    gives by itself.

    Args:
        classifiers: ready to predict, with the same template, label words and backbone.
        X: as for `PromptClassifier.predict`.

    Returns:
        Nats, up to a constant per example, shape (classifiers, batch, labels).

    Raises:
        DataError: the classifiers differ in more than their vectors.
    """
    ready = [classifier._ready() for classifier in classifiers]
    prompt, backbone = ready[0]
    for other, its_backbone in ready:
        shared = (prompt.template, prompt.verbalizer, prompt.max_length) == (
            other.template,
            other.verbalizer,
            other.max_length,
        )
        if not shared or its_backbone is not backbone:
            raise DataError("classifiers are scored together only with one template, verbalizer and backbone")
    bound = BoundPrompt(prompt.template, prompt.verbalizer, backbone, prompt.max_length)
    softs: list[SoftVectors | None] = [None] * len(ready)
    if bound.compiled.blocks:
        softs = [SoftVectors.from_blocks(bound.compiled.blocks, own.vectors).to(backbone.device) for own, _ in ready]
    scores: np.ndarray = bound.label_scores(bound.encode(as_examples(X)), softs).double().numpy()
    return scores


def predict_together(classifiers: Sequence[PromptClassifier], X: Iterable[Example]) -> np.ndarray:
    """Labels by several classifiers that differ in their soft vectors alone, shape (classifiers, batch).

    Arguments and errors as for `label_scores`.
    """
    best = label_scores(classifiers, X).argmax(-1)
    labels: np.ndarray = np.asarray(classifiers[0]._ready()[0].verbalizer.labels)[best]
    return labels


def resolve_verbalizer(
    verbalizer: Mapping[Label, str | Sequence[str]] | str | Verbalizer | None,
) -> Verbalizer | None:
    """The verbalizer that a table spells, or a string names in the library.

    >>> resolve_verbalizer({0: "bad", 1: "good"}).labels
    (0, 1)
    """
    if verbalizer is None or isinstance(verbalizer, Verbalizer):
        return verbalizer
    if isinstance(verbalizer, str):
        return Verbalizer(dict(load_verbalizer(verbalizer).words.items()))
    return Verbalizer(verbalizer)


def as_examples(X: Iterable[Example]) -> list[Example]:
    """Examples from what people keep them in.

    Raises:
        DataError: `X` is one text, or a matrix of numbers.

    >>> as_examples(np.array(["good", "bad"]))
    ['good', 'bad']
    """
    if isinstance(X, str | bytes | Mapping) or not isinstance(X, Iterable):
        raise DataError(f"X has to be a list of texts or of mappings, got one {type(X).__name__}: {X!r:.60}")
    if hasattr(X, "columns") and hasattr(X, "to_dict"):  # a pandas frame; pandas itself is not needed
        return list(X.to_dict("records"))
    if isinstance(X, np.ndarray):
        if X.ndim != 1:
            raise DataError(f"X has shape {X.shape}; expected one text per example, shape (examples,)")
        return list(X.tolist())
    return list(X)


def _as_labels(y: Iterable[Label]) -> list[Label]:
    """Labels as plain Python values."""
    values = np.asarray(list(y))
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}; expected one label per example, shape (examples,)")
    if values.dtype.kind not in "OUiub":
        raise DataError(f"y holds {values.dtype} values; labels are str or int")
    return list(values.tolist())


def _targets(labels: Sequence[Label], verbalizer: Verbalizer) -> list[int]:
    index = {label: i for i, label in enumerate(verbalizer.labels)}
    for row, label in enumerate(labels):
        if label not in index:
            near = get_close_matches(str(label), map(str, index), n=1)
            raise DataError(
                f"row {row} has label {label!r}, which the verbalizer does not name; it has {list(index)}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
    if len(set(labels)) < 2:
        raise DataError(f"y holds only the label {labels[0]!r}; fitting takes examples of at least two labels")
    return [index[label] for label in labels]


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """A seed of our own, so that the global generators stay untouched."""
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def _digest(
    training: Mapping[str, Any],
    soft: SoftVectors,
    bound: BoundPrompt,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int],
    backbone: Backbone,
) -> str:
    """What makes two fits the same: only then may one go on with the other's checkpoint."""
    digest = sha256(json.dumps([training, backbone.fingerprint, bound.verbalizer.aggregate], sort_keys=True).encode())
    digest.update(repr((bound.scorer.words, [(p.left, p.right) for p in prompts], list(targets))).encode())
    digest.update(soft.weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
