"""Baselines: TF-IDF with logistic regression, and fine-tuning."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self, TypeAlias, get_args
from typing import Literal as OneOf

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from softcloze.backbone import AnyModel, Backbone, load_backbone
from softcloze.classifiers import seed_of
from softcloze.classifiers.shared_model import SharedModelMixin
from softcloze.data import as_labels, validate_lengths, validate_several
from softcloze.data.examples import as_texts
from softcloze.errors import ParameterError
from softcloze.parameters import NONE, POSITIVE, integer, one_of, validate_parameters
from softcloze.verbalizer import Label

Trained: TypeAlias = OneOf["all", "head", "lora"]
SCORING_BATCH = 32
CONSTRAINTS = {
    "trained": one_of(*get_args(Trained)),
    "epochs": integer(at_least=1),
    "batch_size": integer(at_least=1),
    "learning_rate": POSITIVE | NONE,
    "rank": integer(at_least=1),
    "max_length": integer(at_least=1) | NONE,
}


@dataclass(eq=False, repr=False)
class FineTunedClassifier(ClassifierMixin, SharedModelMixin):
    """Fine-tuning for sequence classification with transformers, as a baseline for prompts.

    `fit` copies the weights of the backbone, adds a new classification head, and trains in float32 with AdamW; the
    learning rate warms up over a tenth of the steps and then decays linearly. The backbone is not changed.

    Args:
        model: as for `PromptClassifier`.
        trained: "all" weights, only the "head" (with the pooler before it, if the model has none), or the head and
            low-rank adapters of all linear layers ("lora", which needs peft: `pip install 'softcloze[lora]'`).
        epochs: passes over the training texts.
        batch_size: texts per step.
        learning_rate: peak learning rate of AdamW; None for 2e-5 ("all"), 1e-3 ("head") or 5e-4 ("lora").
        rank: of the adapters.
        max_length: maximum tokens of a text; None for the model's own limit, at most 512.
        dtype: of the backbone from which the weights are copied; see `load_backbone`.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: seed of the head, of dropout and of the order of texts.

    Attributes:
        classes_: the labels, sorted.
        network_: the model; what was trained of it requires a gradient.

    Source:
        Devlin et al., NAACL 2019, arXiv:1810.04805; more epochs for few texts: Mosbach et al., ICLR 2021,
        arXiv:2006.04884; adapters: Hu et al., ICLR 2022, arXiv:2106.09685.

    >>> texts, labels = ["good", "fine", "bad", "poor"] * 2, [1, 1, 0, 0] * 2
    >>> clf = FineTunedClassifier("starter:bert-tiny", trained="head", epochs=1, random_state=0).fit(texts, labels)
    >>> clf.predict_proba(["good"]).shape
    (1, 2)
    """

    model: AnyModel
    _: KW_ONLY
    trained: Trained = "all"
    epochs: int = 10
    batch_size: int = 8
    learning_rate: float | None = None
    rank: int = 8
    max_length: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> Self:
        """Train on texts and their labels.

        Raises:
            ParameterError: a parameter is unknown or outside its range, or peft is missing.
            DataError: texts and labels that do not fit each other, or fewer than two labels.
            BackboneError: the model cannot be loaded.
        """
        self._validate_parameters()
        texts = as_texts(X)
        self.classes_, targets = class_targets(texts, y)
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        self._tokenizer = _padding_tokenizer(backbone)
        self._limit = min(backbone.max_length, 512 if self.max_length is None else self.max_length)
        seed = seed_of(self.random_state)
        # heads, adapters and dropout all draw from the global generator
        with torch.random.fork_rng(devices=[backbone.device] if backbone.device.type == "cuda" else []):
            torch.manual_seed(seed)
            self.network_ = self._new_network(backbone)
            learning = [weight for weight in self.network_.parameters() if weight.requires_grad]
            self._train(texts, torch.as_tensor(targets), learning)
        return self

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Probabilities of the labels, shape (batch, labels) in the order of `classes_`."""
        check_is_fitted(self)
        texts = as_texts(X)
        # texts of similar length together: less padding
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        probabilities = np.empty((len(texts), len(self.classes_)), np.float32)
        self.network_.eval()
        with torch.no_grad():
            for start in range(0, len(order), SCORING_BATCH):
                rows = order[start : start + SCORING_BATCH]
                logits = self._logits([texts[row] for row in rows])
                probabilities[rows] = logits.softmax(-1).cpu().numpy()
        return probabilities

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The most probable label of each text, shape (batch,)."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _validate_parameters(self) -> None:
        validate_parameters(self.get_params(deep=False), CONSTRAINTS)

    def _new_network(self, backbone: Backbone) -> nn.Module:
        """The model with a new head; the weights to train have `requires_grad`."""
        config = copy.deepcopy(backbone.model.config)
        config.num_labels = len(self.classes_)
        config.pad_token_id = self._tokenizer.pad_token_id
        network = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        # a language model may lack the pooler before the head: it is then newly initialised, like the head
        missing = network.base_model.load_state_dict(backbone.model.base_model.state_dict(), strict=False).missing_keys
        network.to(backbone.device)
        if self.trained == "head":
            for name, weight in network.base_model.named_parameters():
                weight.requires_grad_(name in missing)
        return network if self.trained != "lora" else _with_adapters(network, self.rank)

    def _train(self, texts: Sequence[str], targets: Tensor, learning: Sequence[nn.Parameter]) -> None:
        rate = self.learning_rate
        if rate is None:
            rate = {"all": 2e-5, "head": 1e-3, "lora": 5e-4}[self.trained]
        optimizer = torch.optim.AdamW(learning, lr=rate)
        steps = self.epochs * -(-len(texts) // self.batch_size)
        from transformers import get_linear_schedule_with_warmup  # imports the Trainer, which is slow

        schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
        self.network_.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(texts)).split(self.batch_size):
                logits = self._logits([texts[row] for row in rows])
                loss = nn.functional.cross_entropy(logits, targets[rows].to(logits.device))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(learning, 1.0)
                optimizer.step()
                schedule.step()

    def _logits(self, texts: Sequence[str]) -> Tensor:
        encoded = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        )
        device = next(self.network_.parameters()).device
        logits: Tensor = self.network_(**encoded.to(device)).logits
        return logits


def class_targets(texts: Sequence[str], y: Iterable[Label]) -> tuple[np.ndarray, np.ndarray]:
    """The labels, sorted, and the index of the label of each text."""
    labels = as_labels(y)
    validate_lengths(texts, labels)
    validate_several(labels)
    classes, targets = np.unique(np.asarray(labels), return_inverse=True)
    return classes, targets


def _padding_tokenizer(backbone: Backbone) -> Any:  # noqa: ANN401
    """A copy of the backbone's tokenizer that pads on the right."""
    tokenizer = copy.deepcopy(backbone.tokenizer)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _with_adapters(network: nn.Module, rank: int) -> nn.Module:
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError as error:
        raise ParameterError(
            "trained='lora' needs the library peft, which is not installed: pip install 'softcloze[lora]'"
        ) from error
    settings = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=2 * rank, lora_dropout=0.1, target_modules="all-linear"
    )
    return get_peft_model(network, settings)


def tfidf(analyzer: str = "word") -> Pipeline:
    """Logistic regression on TF-IDF features, a baseline without a language model.

    Args:
        analyzer: "word" for unigrams and bigrams of words; "char" for character n-grams up to 3, for Chinese.

    Raises:
        ParameterError: `analyzer` is unknown.

    >>> tfidf("char").fit(["很好", "很差"], ["good", "bad"]).predict(["真好"])
    array(['good'], dtype='<U4')
    """
    validate_parameters({"analyzer": analyzer}, {"analyzer": one_of("word", "char")})
    longest = 2 if analyzer == "word" else 3
    vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=(1, longest), sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=1000))
