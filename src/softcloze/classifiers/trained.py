"""Base of all estimators that train a prompt: parameters, the model, and the training."""

import json
import re
import secrets
from abc import ABC
from collections.abc import Mapping, Sequence
from copy import copy
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator

from softcloze.backbone import AnyModel, Backbone, PrefixCache, load_backbone, validate_model_options
from softcloze.backbone.engine import Cached
from softcloze.files import validate_writable
from softcloze.parameters import NONE, SEED, Constraint, instance_of, integer, plain, validate_parameters
from softcloze.template import CHAT_OPTIONS, ChatOptions, Template
from softcloze.training import FIT_PARAMETERS, Checkpoint, Record, TrainingSettings, TrainingTask, train

RANDOM_STATE = SEED | instance_of("a numpy RandomState", np.random.RandomState) | NONE


class Start(NamedTuple):
    """Seed of a fit, and the key of its checkpoint if it has one; both are known before the model is loaded."""

    seed: int
    key: str


class SharedModelMixin(BaseEstimator):
    """A classifier whose clones share its model in memory instead of copying it.

    Attributes:
        shared: names of the parameters that are shared: the model, and what `clone` would strip of what it has learnt.
    """

    shared: ClassVar[tuple[str, ...]] = ("model",)

    def __sklearn_clone__(self) -> Self:
        """A clone with the same model."""
        bare = copy(self)
        for name in self.shared:
            setattr(bare, name, "")
        clone: Self = super(SharedModelMixin, bare).__sklearn_clone__()
        for name in self.shared:
            setattr(clone, name, getattr(self, name))
        return clone


class TrainedEstimator(SharedModelMixin, ABC):
    """Base of the estimators that train one prompt; a subclass declares the parameters and implements `fit`.

    Attributes:
        training_defaults: options of training if `training` is None.
    """

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "template": instance_of(
            "a template string, the name of a template in the library, or a Template", str, Template
        ),
        **FIT_PARAMETERS,
        "max_length": integer(at_least=1) | NONE,
        "chat_options": CHAT_OPTIONS | NONE,
        "training": instance_of("TrainingSettings(...)", TrainingSettings) | NONE,
        "model_options": instance_of("a mapping from options of load_backbone to their values", Mapping) | NONE,
        "random_state": RANDOM_STATE,
    }
    training_defaults: ClassVar[Mapping[str, Any]] = {}

    model: AnyModel
    template: str | Template
    epochs: int
    batch_size: int
    learning_rate: float
    training: TrainingSettings | None
    max_length: int | None
    chat_options: ChatOptions | None
    model_options: Mapping[str, Any] | None
    random_state: int | np.random.RandomState | None

    _cached: Cached | None = None

    def set_params(self, **parameters: object) -> Self:
        """Set parameters; `training__NAME` sets an option of training, even if `training` is None."""
        options = {name: value for name, value in parameters.items() if name.startswith("training__")}
        super().set_params(**{name: value for name, value in parameters.items() if name not in options})
        if options:
            validate_parameters({"training": self.training}, self.constraints)
            self.training = self._settings()
            super().set_params(**options)
        return self

    def _load_backbone(self) -> Backbone:
        return load_backbone(self.model, **validate_model_options(self.model, self.model_options))

    def _settings(self) -> TrainingSettings:
        return self.training if self.training is not None else TrainingSettings(**self.training_defaults)

    def _validate_parameters(self) -> None:
        """Raise ParameterError if a parameter has a wrong type or is outside its range, before a model is loaded."""
        validate_parameters(vars(self), self.constraints)
        self._settings().validate()

    def _train_task(self, task: TrainingTask, start: Start, verbalizer: object, **record: object) -> dict[str, Any]:
        """Train the parts of a task in place.

        Args:
            task: the task.
            start: seed, and key of the checkpoint.
            verbalizer: labels and their words; None for free text.
            record: facts for the record.

        Returns:
            The record for the saved prompt: settings, `record` and history.
        """
        settings = self._settings()
        training = self._training_record(task, start, **record)
        checkpoint = None
        if settings.checkpoint is not None:
            checkpoint = Checkpoint(settings.checkpoint, start.key, digest_of(training, task, verbalizer))

        def keep(prefix: PrefixCache) -> None:
            self._cached = Cached.of(prefix)

        options = {name: training[name] for name in FIT_PARAMETERS}
        history = train([task], settings, **options, seed=start.seed, checkpoint=checkpoint, on_cached=keep)
        return with_history(training, task, history)

    def _training_record(self, task: TrainingTask, start: Start, **record: object) -> dict[str, Any]:
        """The facts of a training that are known before it begins."""
        flat: dict[str, Any] = {name: plain(getattr(self, name)) for name in FIT_PARAMETERS}
        return {"examples": len(task.prompts), **flat, "seed": start.seed, **self._settings().to_dict(), **record}

    def _discard_checkpoint(self, start: Start) -> None:
        """Remove the checkpoint of a fit that is done."""
        if (folder := self._settings().checkpoint) is not None:
            Checkpoint(folder, start.key).discard()


def start_of(
    described: tuple[object, ...], settings: TrainingSettings, random_state: int | np.random.RandomState | None
) -> Start:
    """Derive the seed of a fit and the key of its checkpoint, where it has one.

    Args:
        described: all that makes the fit what it is.
        settings: of the fit; the checkpoint of an interrupted one has the seed if `random_state` is None.
        random_state: of the fit.
    """
    seed = None if random_state is None else seed_of(random_state)
    if settings.checkpoint is None:
        return Start(seed if seed is not None else seed_of(None), "")
    # an object without a representation of its own shows its address, which changes from run to run
    text = re.sub(" at 0x[0-9a-f]+", "", repr((seed, *described)))
    key = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    checkpoint = Checkpoint(settings.checkpoint, key)
    validate_writable(checkpoint.path)
    checkpoint.warn_of_others()
    progress = checkpoint.load()
    if seed is None:
        seed = progress.seed if progress is not None else seed_of(None)
    return Start(seed, key)


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Derive a seed from `random_state`; None gives a random one. Global generators stay untouched."""
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def with_history(training: Mapping[str, Any], task: TrainingTask, history: Sequence[Record]) -> dict[str, Any]:
    """The record of a training that is done, for the saved prompt."""
    units = {}
    if task.soft is not None and "deep" in task.soft.trained:
        units = {"layer_rms": [[layer, rms] for layer, rms in task.soft.units.items()]}
    return {**training, **units, "history": history}


def digest_of(training: Mapping[str, Any], task: TrainingTask, verbalizer: object) -> str:
    """Digest of everything that affects a fit, so that only the same fit resumes from a checkpoint."""
    digest = sha256(json.dumps([training, task.scorer.backbone.fingerprint], sort_keys=True).encode())
    digest.update(repr(verbalizer).encode())
    # demonstrations are part of the prompts
    encoded = [(prompt.chunks, prompt.token_type_ids, prompt.choices, prompt.answer) for prompt in task.prompts]
    digest.update(repr((task.scorer.words, encoded, task.targets.tolist())).encode())
    if task.weights is not None:
        digest.update(task.weights.numpy().tobytes())
    trained = [*(task.soft.parameters() if task.soft is not None else ()), *task.head.parameters()]
    for weight in trained:
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
