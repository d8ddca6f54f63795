"""PromptClassifier: scikit-learn's parameters in, the layers wired together."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from softcloze.analysis import Explanation, explain
from softcloze.backbone import Backbone, PrefixCache, RuntimeInfo, load_backbone
from softcloze.backbone.engine import Cached
from softcloze.calibration import content_free
from softcloze.classifiers.base import seed_of
from softcloze.classifiers.calibrate import check_method, learn_calibration
from softcloze.classifiers.soft_init import SoftInit, resolve_soft_init, transfer
from softcloze.data import Example, as_examples, as_labels, as_probabilities, label_indices, validate_lengths
from softcloze.demonstrations import Pool, Transformer, choose
from softcloze.encoding import EncodedPrompt, summarise_cuts
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.heads import EXCLUSIVE, RowHead, check_head, initial_head, learn_prototypes
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.lint import VerbalizerCheck, check_verbalizer, with_priors
from softcloze.prompt import BoundPrompt, Prompt, PromptSet, TrainedParts
from softcloze.soft import initial_vectors
from softcloze.template import Template
from softcloze.training import Checkpoint, Record, TrainingSettings, bytes_of, hold_out, train, warn_if_stuck
from softcloze.verbalizer import AnyVerbalizer, Label, RuleVerbalizer, Verbalizer, Words


class PromptClassifier(ClassifierMixin, BaseEstimator):
    r"""Classify text with a frozen language model, a prompt template and label words.

    `fit` trains the template's soft slots, a head where one is asked for, and nothing else. Where there is neither,
    there is nothing to learn: it predicts without `fit` when the verbalizer names the labels. With `<demos*8>` in the
    template `fit` keeps the examples and shows eight of them with each input (in-context learning).

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a `Backbone`; masked (BERT), causal
            (Llama) or seq2seq (T5, BART; see `softcloze.scoring.seq2seq` for what their decoder reads).
        template: a template string, the name of one in the library ("sentiment/zh"), or a `Template`.
        verbalizer: label -> word, words or word -> weight, the name of a table in the library, a `Verbalizer`, a
            `RuleVerbalizer` for several named masks, or None: every label is its own word.
        head: how the model's answer at the mask becomes label scores: "words" (by the scores of the label words),
            "warp" (by a trained row for each label in the place of the vocabulary's, which starts from them: WARP),
            "linear" (by a trained linear layer on the state at the mask) or "prototypes" (by the label words together
            with prototypes of each label that are learnt from the examples: ProtoVerb).
        demonstrations: how the examples that `<demos>` shows are chosen among those given to `fit`: "random" (drawn
            once, the same for every input), "nearest" (for every input those most like it by the model's mean
            last hidden state, the nearest one last), or a transformer like scikit-learn's TfidfVectorizer, whose
            vectors are compared instead.
        soft_init: what soft slots without `init=` start from: "template" (the words of its first literal), "labels"
            (the label words) or "vocabulary" (different frequent tokens of the training examples); or a `Prompt` or
            the folder of one, from which the blocks of the same `name=` start (prompt transfer), the others as with
            "template".
        calibration: how label scores are corrected for what the model would say anyway: None, "contextual" (by what it
            says of texts without content), "domain" (of random words of the examples), "pmi" (of the words around
            the mask alone), "batch" (of the examples on average), "prototypical" (by clusters of the examples'
            scores), or "temperature" (probabilities fit for examples that are held out of training). `fit` learns it;
            without `fit` the examples are those that are predicted together. docs/calibration.md compares them.
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW for soft vectors, in units of the root mean square of the embeddings.
        head_learning_rate: highest step of AdamW for a "warp" or "linear" head, in nats by which it may move a
            label's score of the average example.
        warmup_fraction: share of the steps in which the rate rises, before it falls to 0 linearly.
        max_grad_norm: length to which a longer gradient is cut.
        target_loss: training ends when an epoch's mean training loss, in nats, falls below it; 0 never.
        average_last_epochs: end with the mean of the vectors, and of a "warp" or "linear" head, after each step of this
            many last epochs; 0 for the values after the last step, which lean more to one label. A fit that
            `target_loss` ends before these epochs has the latter too.
        early_stopping: hold out examples, stop when their loss no longer falls, and keep the vectors of the best epoch
            instead of a mean.
        validation_fraction: share of each class held out then, or for "temperature".
        n_iter_no_change: epochs without a better held-out loss before stopping.
        warm_start: go on from the vectors of the last `fit`, or of the loaded prompt.
        max_length: tokens a prompt may have; None for the model's own limit.
        dtype: "auto", "float32", "bfloat16" or "float16"; see `load_backbone`.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: seed of the initial vectors and of the order of examples.
        checkpoint: folder where an interrupted `fit` finds its progress again; None keeps none.
        cache_memory: memory for what a causal model reads once, all that stands before the first soft slot: a size such
            as "500MB" or "2GiB", or bytes. What takes more is kept in a file of the cache folder while `fit` runs.
        on_epoch: called with each epoch's record while training.

    Attributes:
        classes_: the labels, sorted.
        prompt_: the trained `Prompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.
        truncation_: what did not fit of the training examples, after `fit`.
        engine_: how the model is run: precision, attention, prefix cache; see
            `softcloze.backbone.engine.RuntimeInfo`.

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
        verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None = None,
        *,
        head: str = "words",
        demonstrations: str | Transformer = "random",
        soft_init: SoftInit = "template",
        calibration: str | None = None,
        epochs: int = 3,
        batch_size: int = 4,
        learning_rate: float = 0.04,
        head_learning_rate: float = 0.1,
        warmup_fraction: float = 0.1,
        max_grad_norm: float = 1.0,
        target_loss: float = 0.2,
        average_last_epochs: int = 3,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 3,
        warm_start: bool = False,
        max_length: int | None = None,
        dtype: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        checkpoint: str | Path | None = None,
        cache_memory: int | str = "2GiB",
        on_epoch: Callable[[Record], None] | None = None,
    ):
        self.model = model
        self.template = template
        self.verbalizer = verbalizer
        self.head = head
        self.demonstrations = demonstrations
        self.soft_init = soft_init
        self.calibration = calibration
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.warmup_fraction = warmup_fraction
        self.max_grad_norm = max_grad_norm
        self.target_loss = target_loss
        self.average_last_epochs = average_last_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.max_length = max_length
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.cache_memory = cache_memory
        self.on_epoch = on_epoch

    def fit(self, X: Iterable[Example], y: Iterable[Label]) -> Self:
        """Train the soft slots and the head; every weight of the model stays as it is.

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
            ParameterError: `soft_init` is unknown, or the prompt it names does not fit.
            ParameterError: `demonstrations` is unknown.
            ParameterError: `calibration` is unknown, or there are too few examples for it.
            ParameterError: `head` is unknown, or cannot see the text behind the mask.
        """
        check_method(self.calibration)
        check_head(self.head)
        examples, labels = as_examples(X), as_labels(y)
        validate_lengths(examples, labels)
        if not examples:
            raise DataError("there are no examples to fit")
        template = resolve_template(self.template)
        verbalizer = resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            verbalizer = Verbalizer({label: str(label) for label in labels})
        targets = label_indices(labels, verbalizer)
        start, bound, seed = self._begin(template, verbalizer)
        generator = np.random.default_rng(seed)
        shown, own = None, None
        if template.demos is not None:
            pool = Pool.read(template, examples, targets, verbalizer.first_words)
            shown, own = choose(self.demonstrations, pool, template.demos.count, bound.scorer.backbone, generator)
        prompts = bound.encode(examples, own)
        self.truncation_ = summarise_cuts(prompts)

        rows = aside = list(range(len(prompts)))  # to train on, and to learn a temperature from
        learns = bound.compiled.blocks or self.head != "words"
        if learns and self.calibration == "temperature":
            rows, aside = hold_out(targets, self.validation_fraction, seed)
        parts, training = self._train(
            bound, [prompts[i] for i in rows], [targets[i] for i in rows], start, generator, seed
        )
        prompt = replace(self._prompt(bound, parts, training), demonstrations=shown)
        if self.calibration is not None:
            calibration = learn_calibration(
                self.calibration,
                prompt,
                bound,
                parts,
                examples=examples,
                scores=lambda: bound.label_scores([prompts[i] for i in aside], [parts])[0].double().numpy(),
                targets=[targets[i] for i in aside],
                seed=seed,
            )
            prompt = replace(prompt, calibration=calibration)
        self._adopt(prompt, bound.scorer.backbone)
        return self

    def fit_probabilities(self, X: Iterable[Example], probabilities: np.ndarray) -> Self:
        """Train on the probabilities of labels that a teacher gives, instead of on labels (distillation).

        The loss is the cross-entropy to them, which ends at their own entropy and not at 0: mind `target_loss`.

        Args:
            X: examples as for `fit`; they need no labels.
            probabilities: of each label in the order of the verbalizer's `labels`, shape (examples, labels).

        Returns:
            The classifier itself.

        Raises:
            DataError: no examples, probabilities of another shape or that do not sum to 1, or a classifier that
                learns from labels alone: without a verbalizer, with demonstrations, prototypes or a calibration.
            SoftclozeError: the rest of what `fit` raises.

        Source:
            Hinton et al. 2015, arXiv:1503.02531.
        """
        check_head(self.head)
        examples = as_examples(X)
        template, verbalizer = resolve_template(self.template), resolve_verbalizer(self.verbalizer)
        if (
            verbalizer is None
            or template.demos is not None
            or self.head == "prototypes"
            or self.calibration is not None
        ):
            raise DataError(
                "there are probabilities and no labels, and a classifier without a verbalizer, with <demos>, "
                'head="prototypes" or a calibration takes labels; call fit with some, or do without'
            )
        targets = as_probabilities(probabilities, len(examples), verbalizer)
        start, bound, seed = self._begin(template, verbalizer)
        prompts = bound.encode(examples)
        self.truncation_ = summarise_cuts(prompts)
        parts, training = self._train(bound, prompts, targets, start, np.random.default_rng(seed), seed)
        self._adopt(self._prompt(bound, parts, training), bound.scorer.backbone)
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
        best = self._label_scores(X).argmax(1)
        labels: np.ndarray = np.asarray(self._ready()[0].verbalizer.labels)[best]
        return labels

    def explain(self, example: Example, top: int = 10) -> Explanation:
        """What the label words do for one example: a table in the terminal and in notebooks.

        Args:
            example: as one of those for `predict`.
            top: how many of the likeliest words of the whole vocabulary to name, at most.

        Raises:
            NotFittedError: soft slots that were not trained.
            FieldError: the example lacks a field.
            ParameterError: `top` is below 0, or it is rules or a head that decide, and no label words.
        """
        prompt, backbone = self._ready()
        if prompt.head != "words":
            raise ParameterError(f"explain tells what label words do to the decision, which head={prompt.head!r} takes")
        bound = prompt.bind(backbone)
        prompts = bound.encode([example], prompt.demonstrations_for([example], backbone))
        (explanation,) = explain(bound, prompts, prompt.parts(bound).soft, top)
        if prompt.calibration is None and self.calibration is None:
            return explanation
        # what a calibration changes is the probability of labels, not what the model says of words
        return replace(explanation, probabilities=tuple(self.predict_proba([example])[0].tolist()))

    def check(self) -> VerbalizerCheck:
        """What the model makes of the label words: their tokens, and how likely each is where the input says nothing.

        Returns:
            A table for the terminal and for notebooks, with the findings of `lint` and one more: a warning
            where one label wins on content-free input ("N/A", "[MASK]" and the empty text), unless a calibration
            corrects that. The probabilities are those before any calibration; there are none where a finding is an
            error, or rules or a head decide and no label words.

        Raises:
            NotFittedError: soft slots that were not trained, or demonstrations that were not chosen.
        """
        prompt, backbone = self._ready()
        limit = backbone.max_length if self.max_length is None else min(self.max_length, backbone.max_length)
        checked = check_verbalizer(prompt.verbalizer, backbone.prompt_tokenizer, prompt.template, limit)
        if not checked.works or prompt.head != "words" or isinstance(prompt.verbalizer, RuleVerbalizer):
            return checked
        bound = prompt.bind(backbone)
        rows = content_free(prompt.template)
        prompts = bound.encode(rows, prompt.demonstrations_for(rows, backbone))
        explanations = explain(bound, prompts, prompt.parts(bound).soft, top=0)
        calibrated = prompt.calibration is not None or self.calibration is not None
        return with_priors(checked, prompt.template, explanations, calibrated=calibrated)

    def save(self, path: str | Path) -> None:
        """Save the prompt as a folder of a few kilobytes; the model is only named in it.

        Raises:
            NotFittedError: soft slots that were not trained.
            ArtifactError: something else is at `path`.
            ParameterError: a transformer chooses the demonstrations; only a pickle could hold it.
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
        if prompt.head not in EXCLUSIVE:
            raise ArtifactError(f"{path} gives examples several labels; load it with MultiLabelPromptClassifier")
        settings = {name: value for name, value in prompt.training.items() if name in cls._get_param_names()}
        if prompt.demonstrations is not None:
            settings["demonstrations"] = prompt.demonstrations.choice
        if prompt.calibration is not None:
            settings["calibration"] = prompt.calibration.method
        classifier = cls(
            model=model if model is not None else prompt.model,
            template=str(prompt.template),
            verbalizer=prompt.verbalizer,
            head=prompt.head,
            **{"max_length": prompt.max_length, **settings, **parameters},
        )
        backbone = load_backbone(classifier.model, dtype=classifier.dtype, device=classifier.device)
        prompt.check_backbone(backbone)
        classifier._adopt(prompt, backbone)
        return classifier

    def _begin(self, template: Template, verbalizer: AnyVerbalizer) -> tuple[str | Prompt, BoundPrompt, int]:
        """What soft slots start from, template and label words on the model, and a seed."""
        # a folder that is not there should be told before a model is loaded
        start = resolve_soft_init(self.soft_init) if template.blocks and not self._is_warm else "template"
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        bound = BoundPrompt(template, verbalizer, backbone, self.max_length, self.head)
        return start, bound, seed_of(self.random_state)

    def _prompt(self, bound: BoundPrompt, parts: TrainedParts, training: Mapping[str, Any]) -> Prompt:
        """What was learnt, to be kept."""
        backbone = bound.scorer.backbone
        return Prompt(
            template=bound.compiled.template,
            verbalizer=bound.verbalizer,
            model=backbone.name,
            fingerprint=backbone.fingerprint,
            vectors=parts.soft.by_block() if parts.soft is not None else {},
            head=self.head,
            head_tensors=parts.head.state_dict(),
            max_length=self.max_length,
            training=training,
        )

    def _adopt(self, prompt: Prompt, backbone: Backbone) -> None:
        self.prompt_ = prompt
        self.backbone_ = backbone
        self.classes_ = np.asarray(prompt.verbalizer.labels)
        self.history_: list[Record] = list(prompt.training.get("history", []))

    def _settings(self, seed: int) -> TrainingSettings:
        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            head_learning_rate=self.head_learning_rate,
            warmup_fraction=self.warmup_fraction,
            max_grad_norm=self.max_grad_norm,
            target_loss=self.target_loss,
            average_last_epochs=self.average_last_epochs,
            early_stopping=self.early_stopping,
            validation_fraction=self.validation_fraction,
            patience=self.n_iter_no_change,
            seed=seed,
        )

    @property
    def _is_warm(self) -> bool:
        return self.warm_start and hasattr(self, "prompt_")

    def _train(
        self,
        bound: BoundPrompt,
        prompts: Sequence[EncodedPrompt],
        targets: Sequence[int] | Tensor,
        start: str | Prompt,
        generator: np.random.Generator,
        seed: int,
    ) -> tuple[TrainedParts, dict[str, Any]]:
        """Soft vectors and head, trained, and the record of it."""
        parts = self._initial(bound, prompts, start, generator)
        record: dict[str, Any] = {}
        self._cached: Cached | None = None
        if parts.soft is not None or list(parts.head.parameters()):
            settings = self._settings(seed)
            record = {"examples": len(prompts), **asdict(settings)}
            if not isinstance(self.soft_init, Prompt):
                record["soft_init"] = str(self.soft_init)
            checkpoint = None
            if self.checkpoint is not None:
                checkpoint = Checkpoint(self.checkpoint, _digest(record, parts, bound, prompts, targets))

            def keep(prefix: PrefixCache) -> None:
                self._cached = Cached.of(prefix)

            history = train(
                *parts,
                bound.scorer,
                prompts,
                targets,
                settings,
                checkpoint=checkpoint,
                cache_memory=bytes_of(self.cache_memory),
                on_cached=keep,
                on_epoch=self.on_epoch,
            )
            warn_if_stuck(history, settings)
            record["history"] = history
        if self.head == "prototypes":
            (features,) = bound.features(prompts, [parts.soft])
            parts = parts._replace(head=learn_prototypes(bound.verbalizer, features, torch.tensor(targets), generator))
        return parts, record

    def _initial(
        self,
        bound: BoundPrompt,
        prompts: Sequence[EncodedPrompt],
        start: str | Prompt,
        generator: np.random.Generator,
    ) -> TrainedParts:
        """What training starts from."""
        backbone = bound.scorer.backbone
        head = initial_head(self.head, bound.verbalizer, bound.words, backbone, generator)
        if self._is_warm:
            learnt = self.prompt_.parts(bound)
            goes_on = isinstance(learnt.head, RowHead) and (self.prompt_.head, self.prompt_.verbalizer.labels) == (
                self.head,
                bound.verbalizer.labels,
            )
            return learnt if goes_on else learnt._replace(head=head)
        soft = None
        if bound.compiled.blocks:
            soft = initial_vectors(
                bound.compiled,
                backbone,
                init=start if isinstance(start, str) else "template",
                prompts=prompts,
                words=bound.words,
                generator=generator,
            )
            soft = transfer(soft, start, backbone) if isinstance(start, Prompt) else soft
        return TrainedParts(soft, head)

    def _ready(self) -> tuple[Prompt, Backbone]:
        """The prompt to predict with: the fitted one, or a hard one that needs no fit."""
        if hasattr(self, "prompt_"):
            return self.prompt_, self.backbone_
        check_method(self.calibration)
        check_head(self.head)
        template, verbalizer = resolve_template(self.template), resolve_verbalizer(self.verbalizer)
        if template.blocks:
            raise NotFittedError(
                f"the soft slots of {str(template)!r} are not trained yet; call fit first, or take them out to "
                "predict with the hard prompt alone"
            )
        if self.head != "words":
            raise NotFittedError(f"head={self.head!r} learns from labelled examples; call fit first")
        if template.demos is not None:
            raise NotFittedError(
                f"the demonstrations of {str(template)!r} are chosen among the examples given to fit; call fit first, "
                "or take them out to predict without"
            )
        if self.calibration == "temperature":
            raise NotFittedError("a temperature is learnt from labelled examples; call fit first")
        if verbalizer is None:
            raise NotFittedError("without a verbalizer the labels are not known before fit; give one, or call fit")
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        return Prompt(template, verbalizer, backbone.name, backbone.fingerprint, max_length=self.max_length), backbone

    @property
    def engine_(self) -> RuntimeInfo:
        """How the model is run; there once `predict` works as it stands."""
        return RuntimeInfo.of(self._ready()[1], getattr(self, "_cached", None))

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `predict` works as it stands."""
        try:
            self._ready()
        except NotFittedError:
            return False
        return True

    def _label_scores(self, X: Iterable[Example]) -> np.ndarray:
        """Nats up to a constant per example, calibrated, shape (batch, labels)."""
        prompt, backbone = self._ready()
        examples = as_examples(X)
        (scores,) = PromptSet([prompt], backbone).label_scores(examples)
        if self.calibration is None or hasattr(self, "prompt_"):
            return scores
        # no fit: the batch is all there is to learn from
        bound = prompt.bind(backbone)
        calibration = learn_calibration(
            self.calibration,
            prompt,
            bound,
            prompt.parts(bound),
            examples=examples,
            scores=lambda: scores,
            targets=(),
            seed=seed_of(self.random_state),
        )
        return calibration.apply(scores)


def _digest(
    training: Mapping[str, Any],
    parts: TrainedParts,
    bound: BoundPrompt,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int] | Tensor,
) -> str:
    """What makes two fits the same: only then may one go on with the other's checkpoint."""
    digest = sha256(json.dumps([training, bound.scorer.backbone.fingerprint], sort_keys=True).encode())
    digest.update(repr(bound.verbalizer).encode())
    # demonstrations are in the prompts
    digest.update(
        repr(
            (bound.scorer.words, [(p.chunks, p.token_type_ids) for p in prompts], torch.as_tensor(targets).tolist())
        ).encode()
    )
    weights = [*([parts.soft.weight] if parts.soft is not None else []), *parts.head.parameters()]
    for weight in weights:
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def ready_prompts(classifiers: Sequence[PromptClassifier]) -> tuple[list[Prompt], Backbone]:
    """The prompts that classifiers of one backbone predict with.

    Raises:
        NotFittedError: a classifier needs `fit`, if only for its calibration.
        DataError: they have different backbones.
    """
    ready = [classifier._ready() for classifier in classifiers]
    for classifier, (prompt, backbone) in zip(classifiers, ready, strict=True):
        if classifier.calibration is not None and prompt.calibration is None:
            raise NotFittedError(f"calibration={classifier.calibration!r} is not learnt yet; call fit first")
        if backbone is not ready[0][1]:
            raise DataError(f"the classifiers have different backbones: {ready[0][1]!r} and {backbone!r}")
    return [prompt for prompt, _ in ready], ready[0][1]
