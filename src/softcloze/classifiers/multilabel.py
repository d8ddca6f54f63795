"""MultiLabelPromptClassifier: any number of labels for an example, each decided by itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.backbone import Backbone, load_backbone
from softcloze.classifiers.base import seed_of
from softcloze.data import Example, as_examples, as_indicators, validate_lengths
from softcloze.encoding import summarise_cuts
from softcloze.errors import ArtifactError, DataError
from softcloze.heads import learn_thresholds
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import BoundPrompt, Prompt
from softcloze.soft import initial_vectors
from softcloze.template import Template
from softcloze.training import Record, TrainingSettings, train
from softcloze.verbalizer import AnyVerbalizer, Label, Words

HEAD = "thresholds"


class MultiLabelPromptClassifier(ClassifierMixin, BaseEstimator):
    r"""Give examples any number of labels, with a frozen language model, a prompt template and label words.

    The score of a label is the log-probability of its words among the whole vocabulary, so that one label takes nothing
    from another. `fit` learns the threshold of each label, and with soft slots trains these for all labels together.

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a `Backbone`.
        template: a template string, the name of one in the library, or a `Template`; without `<demos>`.
        verbalizer: label -> word, words or word -> weight, the name of a table in the library, or a `Verbalizer`.
        soft_init: what soft slots without `init=` start from: "template", "labels" or "vocabulary".
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW, in units of the root mean square of the model's embeddings.
        target_loss: training ends when an epoch's mean training loss, in nats a label, falls below it; 0 never.
        max_length: tokens a prompt may have; None for the model's own limit.
        dtype: "auto", "float32", "bfloat16" or "float16"; see `load_backbone`.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: seed of the initial vectors and of the order of examples.
        on_epoch: called with each epoch's record while training.

    Attributes:
        classes_: the labels, sorted.
        thresholds_: the log-probability in nats from which on each label is given, shape (labels,).
        prompt_: the trained `Prompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.
        truncation_: what did not fit of the training examples, after `fit`.

    Example:
        >>> clf = MultiLabelPromptClassifier(
        ...     model="starter:smollm2-135m",
        ...     template="Text: <text>\nTopic: <mask>",
        ...     verbalizer={"food": ["food", "cooking"], "travel": "travel", "money": ["money", "prices"]},
        ... )
        >>> clf.fit(texts, [["food", "travel"], ["money"], []]).predict(["Cheap noodles."])  # doctest: +SKIP
        array([[1, 1, 0]])

    Source:
        A threshold for each label by a logistic curve: Platt 1999. That label words serve several labels at once is
        the verbalizer of Schick and Schütze, EACL 2021, arXiv:2001.07676, without its softmax over labels.
    """

    def __init__(
        self,
        model: str | Backbone,
        template: str | Template,
        verbalizer: Mapping[Label, Words] | str | AnyVerbalizer,
        *,
        soft_init: str = "template",
        epochs: int = 3,
        batch_size: int = 4,
        learning_rate: float = 0.04,
        target_loss: float = 0.0,
        max_length: int | None = None,
        dtype: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        on_epoch: Callable[[Record], None] | None = None,
    ):
        self.model = model
        self.template = template
        self.verbalizer = verbalizer
        self.soft_init = soft_init
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.target_loss = target_loss
        self.max_length = max_length
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.on_epoch = on_epoch

    def fit(self, X: Iterable[Example], y: Iterable[object]) -> Self:
        """Learn the thresholds, and train the soft slots; every weight of the model stays as it is.

        Args:
            X: as for `PromptClassifier`.
            y: a collection of labels for each example, or scikit-learn's indicator matrix with a column for each label
                in sorted order (an array, a sparse matrix, or a pandas frame whose columns are the labels).

        Returns:
            The classifier itself.

        Raises:
            DataError: examples and labels that do not fit together or the verbalizer, a label that no example or every
                example has, or a template with demonstrations.
            SoftclozeError: whatever else `PromptClassifier.fit` raises.
        """
        template, verbalizer = resolve_template(self.template), resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            raise DataError("a verbalizer has to name the labels")
        if template.demos is not None:
            raise DataError("<demos> shows one label word for each example; take it out to predict several labels")
        examples, present = as_examples(X), as_indicators(y, verbalizer)
        validate_lengths(examples, present)
        for label, share in zip(verbalizer.labels, present.mean(0) if len(present) else [], strict=True):
            if share in (0, 1):
                found = "every" if share else "no"
                raise DataError(f"{found} example has label {label!r}; fitting takes examples with it and without")
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        bound = BoundPrompt(template, verbalizer, backbone, self.max_length, HEAD)
        prompts = bound.encode(examples)
        self.truncation_ = summarise_cuts(prompts)

        targets = torch.tensor(present, dtype=torch.float32)
        seed = seed_of(self.random_state)
        soft, training = None, {}
        if bound.compiled.blocks:
            soft = initial_vectors(
                bound.compiled,
                backbone,
                init=self.soft_init,
                prompts=prompts,
                words=bound.words,
                generator=np.random.default_rng(seed),
            )
            settings = self._settings(seed)
            # the vectors are trained against the thresholds of the scores that they start with
            head = learn_thresholds(verbalizer, bound.features(prompts, [soft])[0], targets)
            history = train(soft, head, bound.scorer, prompts, targets, settings, on_epoch=self.on_epoch)
            training = {"examples": len(prompts), **asdict(settings), "history": history}
        head = learn_thresholds(verbalizer, bound.features(prompts, [soft])[0], targets)
        prompt = Prompt(
            template=template,
            verbalizer=verbalizer,
            model=backbone.name,
            fingerprint=backbone.fingerprint,
            vectors=soft.by_block() if soft is not None else {},
            head=HEAD,
            head_tensors=head.state_dict(),
            max_length=self.max_length,
            training=training,
        )
        self._adopt(prompt, backbone)
        return self

    def decision_function(self, X: Iterable[Example]) -> np.ndarray:
        """Log-odds of each label in nats, shape (batch, labels) in the order of `classes_`."""
        if not hasattr(self, "prompt_"):
            raise NotFittedError("the thresholds of the labels are not learnt yet; call fit first")
        bound = self.prompt_.bind(self.backbone_)
        prompts = bound.encode(as_examples(X))
        scores: np.ndarray = bound.label_scores(prompts, [self.prompt_.parts(bound)])[0].double().numpy()
        return scores

    def predict_proba(self, X: Iterable[Example]) -> np.ndarray:
        """The probability of each label by itself, shape (batch, labels) in the order of `classes_`."""
        probabilities: np.ndarray = expit(self.decision_function(X))
        return probabilities

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """Indicators of the labels that are likelier than not, shape (batch, labels) in the order of `classes_`."""
        return (self.decision_function(X) > 0).astype(int)

    def save(self, path: str | Path) -> None:
        """Save the prompt as a folder of a few kilobytes; the model is only named in it.

        Raises:
            NotFittedError: nothing is learnt yet.
            ArtifactError: something else is at `path`.
        """
        if not hasattr(self, "prompt_"):
            raise NotFittedError("there is nothing to save yet; call fit first")
        self.prompt_.save(path)

    @classmethod
    def load(cls, path: str | Path, model: str | Backbone | None = None, **parameters: object) -> Self:
        """A fitted classifier from a saved prompt.

        Args:
            path: the folder that `save` wrote.
            model: where the model is now, if not where it was when the prompt was saved.
            **parameters: other parameters of the classifier.

        Raises:
            ArtifactError: damaged files, a prompt for one label an example, or a model that is not the one that the
                prompt was trained on.
            BackboneError: the model cannot be loaded.
        """
        prompt = Prompt.load(path)
        if prompt.head != HEAD:
            raise ArtifactError(f"{path} gives each example one label; load it with PromptClassifier")
        settings = {name: value for name, value in prompt.training.items() if name in cls._get_param_names()}
        classifier = cls(
            model if model is not None else prompt.model,
            str(prompt.template),
            prompt.verbalizer,
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
        self.thresholds_ = prompt.head_tensors["thresholds"].numpy()
        self.history_: list[Record] = list(prompt.training.get("history", []))

    def _settings(self, seed: int) -> TrainingSettings:
        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            head_learning_rate=0.1,
            warmup_fraction=0.1,
            max_grad_norm=1.0,
            target_loss=self.target_loss,
            average_last_epochs=3,
            early_stopping=False,
            validation_fraction=0.2,
            patience=3,
            seed=seed,
        )

    def __sklearn_tags__(self) -> Tags:
        """Several labels an example, and texts instead of numbers."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.input_tags.string = True
        return tags
