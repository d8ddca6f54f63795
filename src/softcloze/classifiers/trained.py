"""Base of all estimators that train a prompt: parameters, the model, the training, and the fitted prompt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.exceptions import NotFittedError

from softcloze.backbone import AnyModel, Backbone, PrefixCache, RuntimeInfo, load_backbone, validate_model_options
from softcloze.backbone.engine import Cached
from softcloze.classifiers.shared_model import SharedModelMixin
from softcloze.classifiers.start import RANDOM_STATE, Start, digest_of
from softcloze.classifiers.state import from_state, to_state
from softcloze.errors import ParameterError
from softcloze.parameters import NONE, Constraint, instance_of, integer, plain, validate_parameters
from softcloze.prompt import BoundGenerator, BoundPrompt, GeneratorPrompt, Prompt
from softcloze.prompt.card import explain_damage, quantised_options
from softcloze.prompt.folder import saved_folder
from softcloze.template import CHAT_OPTIONS, ChatOptions, Template
from softcloze.training import (
    FIT_PARAMETERS,
    Checkpoint,
    Record,
    ResolvedSettings,
    TrainingSettings,
    TrainingTask,
    processes,
    train,
    validate_gradients,
)


class TrainedEstimator(SharedModelMixin, ABC):
    """Base of the estimators that train one prompt; a subclass declares the parameters and implements `fit`.

    Attributes:
        training_defaults: options of training where `training` has None, if they are not those of classifiers.
        fixed: parameters that a saved prompt fixes.
        prompt_type: type of the fitted prompt.
        bound_type: type of this prompt with its backbone.
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
    training_defaults: ClassVar[Mapping[str, float]] = {}
    derived = ("_bound",)
    fixed: ClassVar[tuple[str, ...]] = ("template", "max_length", "chat_options")

    prompt_type: ClassVar[type[Prompt] | type[GeneratorPrompt]]
    bound_type: ClassVar[type[BoundPrompt] | type[BoundGenerator]]

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

    prompt_: Prompt | GeneratorPrompt
    backbone_: Backbone

    _bound: BoundPrompt | BoundGenerator | None = None
    _cached: Cached | None = None

    def save(self, path: str | PathLike[str]) -> None:
        """Save the prompt as a folder of a few kilobytes, which names the model and does not hold it.

        A saved prompt of the same kind is replaced atomically; all other files in the folder stay.

        Raises:
            NotFittedError: something has to be learnt first.
            ArtifactError: `path` holds other files and no prompt of this kind.
            FileError: the folder cannot be written.
            ParameterError: a transformer selects the demonstrations; only a pickle could hold it.
        """
        self._bound_prompt().prompt.save(path)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        model: AnyModel | None = None,
        *,
        other_precision: bool = False,
        **parameters: object,
    ) -> Self:
        """Load a fitted estimator from a saved prompt.

        Args:
            path: folder that `save` wrote, or hf://USER/NAME@REVISION on a hub.
            model: name or path of the model now, if not as it was when the prompt was saved.
            other_precision: take the prompt although the model's weights have another form, such as 4 bits: see
                `Prompt.for_weights_of`.
            **parameters: other parameters of the estimator, as for `set_params`. Those that are not given are as
                when the prompt was trained; `random_state` is the seed of its training.

        Warns:
            PrecisionWarning: the prompt was trained on weights of another form.

        Raises:
            ArtifactError: damaged files, a prompt of another kind of estimator, or a model that is not the one that
                the prompt was trained on.
            ParameterError: a parameter that the saved prompt fixes, such as its template, is not that of the prompt.
            BackboneError: the model cannot be loaded.
        """
        folder = saved_folder(path)
        prompt: Any = cls.prompt_type.load(folder)
        cls._validate_saved(prompt, path)
        with explain_damage(folder / cls.prompt_type.kind.card, "training"):
            estimator = cls._with_parameters_of(prompt, model if model is not None else prompt.model)
        estimator._change_saved(prompt, parameters)
        backbone = estimator._load_backbone()
        if other_precision:
            prompt = prompt.for_weights_of(backbone)
        estimator._adopt(cls.bound_type.from_saved(prompt, backbone))
        return estimator

    @classmethod
    def _validate_saved(cls, prompt: Any, path: str | PathLike[str]) -> None:  # noqa: ANN401 - of `prompt_type`
        """Raise ArtifactError if a prompt of this type is one of another estimator."""

    @classmethod
    @abstractmethod
    def _with_parameters_of(cls, prompt: Any, model: AnyModel) -> Self:  # noqa: ANN401 - of `prompt_type`
        """An estimator with the parameters that the prompt was trained with."""

    @property
    def engine_(self) -> RuntimeInfo:
        """Read-only facts about the backbone: precision, attention, prefix cache; available once a model is loaded.

        Raises:
            NotFittedError: `fit` has not been called, and no prediction of a hard prompt has loaded its model.
        """
        if not hasattr(self, "prompt_") and self._bound is None and not isinstance(self.model, Backbone):
            raise NotFittedError("the model is not loaded yet; call fit or, for a hard prompt, predict first")
        return RuntimeInfo.of(self._bound_prompt().backbone, self._cached)

    def __getstate__(self) -> dict[str, Any]:
        """Plain data: attributes as by `to_state`, and the files of the fitted prompt.

        `exact_`, which has an entry for each training example, is left out, as by `save`.

        Raises:
            BackboneError: the model is in memory, and no name or folder loads it again.
        """
        apart = ("prompt_", "history_", "exact_")
        state = to_state({name: value for name, value in super().__getstate__().items() if name not in apart})
        if hasattr(self, "prompt_"):
            try:
                state["prompt"] = self.prompt_.to_files()
            except ParameterError:  # a transformer selects the demonstrations
                state["prompt"] = self.prompt_
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Load the model by its name, and the prompt from its files as `load` does.

        Raises:
            BackboneError: the model cannot be loaded, or its name means another one here.
            ArtifactError: the prompt is damaged or altered, or belongs to another model.
        """
        self.__dict__.update(from_state(state))
        prompt = state.get("prompt")
        if isinstance(prompt, Mapping):
            prompt = self.prompt_type.from_files(prompt)
        if prompt is not None:
            prompt.validate_backbone(self.backbone_)
            self._take(prompt)

    def set_params(self, **parameters: object) -> Self:
        """Set parameters; `training__NAME` sets an option of training, even if `training` is None."""
        options = {name: value for name, value in parameters.items() if name.startswith("training__")}
        super().set_params(**{name: value for name, value in parameters.items() if name not in options})
        if options:
            validate_parameters({"training": self.training}, self.constraints)
            self.training = self.training if self.training is not None else TrainingSettings()
            super().set_params(**options)
        return self

    @abstractmethod
    def _bound_prompt(self) -> BoundPrompt | BoundGenerator:
        """The fitted prompt, or a hard one that needs no `fit`, compiled once for all calls."""

    def _adopt(self, bound: BoundPrompt | BoundGenerator) -> None:
        """Predict with `bound` from now on."""
        self.backbone_ = bound.backbone
        self._bound = bound
        self._take(bound.prompt)

    def _take(self, prompt: Prompt | GeneratorPrompt) -> None:
        """Set what belongs to the fitted prompt."""
        self.history_: list[Record] = list(prompt.training.get("history", []))
        self.prompt_ = prompt  # set last: other threads take an estimator with a prompt for complete

    def _change_saved(self, prompt: Prompt | GeneratorPrompt, parameters: Mapping[str, object]) -> None:
        """Change parameters of an estimator that has those of a saved prompt.

        Raises:
            ParameterError: a parameter is wrong, or fixed by the prompt.
        """
        if isinstance(self.model, str | PathLike) and (options := quantised_options(prompt.fingerprint)):
            self.set_params(model_options=options)
        known = {*self._get_param_names()}
        fixed = {name: getattr(self, name) for name in self.fixed if name in known}
        self.set_params(**parameters)
        self._validate_parameters()
        for name, value in fixed.items():
            if (other := getattr(self, name)) is not value and str(other) != str(value):
                raise ParameterError(
                    f"{name}={other!r:.80} is not that of the saved prompt, {value!r:.80}; load it without, and "
                    f"fit anew after set_params({name}=...)"
                )

    @classmethod
    def _trained_parameters(cls, prompt: Prompt | GeneratorPrompt) -> dict[str, Any]:
        """The parameters that every kind of prompt was trained with."""
        of_training = {*FIT_PARAMETERS, "soft_init"} & {*cls._get_param_names()}
        saved: dict[str, Any] = {name: value for name, value in prompt.training.items() if name in of_training}
        if prompt.training:
            saved["training"] = TrainingSettings.from_dict(prompt.training)
        if prompt.demonstrations is not None:
            saved["demonstrations"] = prompt.demonstrations.method
        if "seed" in prompt.training:
            saved["random_state"] = prompt.training["seed"]
        return {**saved, "max_length": prompt.max_length, "chat_options": prompt.chat_options}

    def _describe_parameters(self, template: Template) -> tuple[object, ...]:
        """The parameters of a fit; their `repr` goes into the key of a checkpoint.

        Raises:
            ParameterError: soft vectors are to be trained where torch computes no gradients.
        """
        if template.trains:
            validate_gradients()
        others = ("training", "random_state", "model_options", "template", "verbalizer", "options")
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name not in others}
        return type(self).__name__, str(template), parameters, self._settings().to_dict()

    def _load_backbone(self) -> Backbone:
        return load_backbone(self.model, **validate_model_options(self.model, self.model_options))

    def _settings(self) -> ResolvedSettings:
        given = self.training if self.training is not None else TrainingSettings()
        return given.resolved(**self.training_defaults)

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

    def _finish(self, bound: BoundPrompt | BoundGenerator, start: Start) -> Self:
        """Predict with `bound` from now on, and remove the checkpoint of the fit."""
        self._adopt(bound)
        if (folder := self._settings().checkpoint) is not None:
            processes().first_value(Checkpoint(folder, start.key).discard)
        return self


def with_history(training: Mapping[str, Any], task: TrainingTask, history: Sequence[Record]) -> dict[str, Any]:
    """The record of a training that is done, for the saved prompt."""
    units = {}
    if task.soft is not None and "deep" in task.soft.trained:
        units = {"layer_rms": [[layer, rms] for layer, rms in task.soft.units.items()]}
    return {**training, **units, "history": history}
