"""Base of the generator: its parameters and the fitted prompt."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.backbone import AnyModel, Backbone
from softcloze.classifiers.soft_init import SoftInit, soft_init_constraint
from softcloze.classifiers.tags import text_tags
from softcloze.classifiers.trained import TrainedEstimator
from softcloze.demonstrations import SELECTION, Demonstrations, Transformer
from softcloze.errors import SoftclozeError
from softcloze.generation import validate_options
from softcloze.library import resolve_template
from softcloze.parameters import BOOLEAN, NONE, Constraint, instance_of, plain
from softcloze.prompt import BoundGenerator, CompiledGenerator, GeneratorPrompt
from softcloze.soft import SoftVectors
from softcloze.template import Template

GENERATOR_INITS = ("template", "vocabulary")  # of `softcloze.soft.INITS`; there are no label words


class GeneratorEstimator(TrainedEstimator):
    """Base of `PromptGenerator`, which declares the parameters and implements `fit`."""

    constraints: ClassVar[Mapping[str, Constraint]] = {
        **TrainedEstimator.constraints,
        "options": instance_of("a mapping from options of writing to their values", Mapping) | NONE,
        "demonstrations": SELECTION,
        "soft_init": soft_init_constraint(*GENERATOR_INITS),
        "warm_start": BOOLEAN,
    }
    prompt_type = GeneratorPrompt
    bound_type = BoundGenerator
    training_defaults: ClassVar[Mapping[str, float]] = {"target_loss": 0.0, "deep_learning_rate": 0.3}

    options: Mapping[str, Any] | None
    demonstrations: str | Transformer
    soft_init: SoftInit
    warm_start: bool

    prompt_: GeneratorPrompt

    _bound: BoundGenerator | None = None

    @classmethod
    def _with_parameters_of(cls, prompt: GeneratorPrompt, model: AnyModel) -> Self:
        """A generator with the parameters that the prompt was trained with."""
        saved = cls._trained_parameters(prompt)
        generator = cls(model, str(prompt.template), options=dict(prompt.options) or None, **saved)
        generator._validate_parameters()
        return generator

    def __sklearn_is_fitted__(self) -> bool:
        """Return True if `predict` works without a further `fit`; loads no model."""
        return hasattr(self, "prompt_") or self._needs_no_fit()

    def __sklearn_tags__(self) -> Tags:
        """Texts instead of numbers; a hard prompt without demonstrations requires no `fit`."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return text_tags(tags, requires_fit=not self._needs_no_fit(), varies=self.random_state is None)

    def _needs_no_fit(self) -> bool:
        """Return True if `predict` works with the parameters alone."""
        try:
            self._hard_template()
        except (NotFittedError, SoftclozeError):
            return False
        return True

    def _options(self) -> dict[str, Any]:
        return dict(self.options) if self.options is not None else {}

    def _validate_parameters(self) -> None:
        super()._validate_parameters()
        validate_options(self._options(), prefix="options: ")

    def _template(self) -> Template:
        """The template, after a check of all parameters."""
        self._validate_parameters()
        template = resolve_template(self.template)
        template.validate_writes()
        return template

    def _fitted_template(self) -> Template:
        """The template to write with; raises NotFittedError if something has to be learnt first."""
        return self.prompt_.template if hasattr(self, "prompt_") else self._hard_template()

    def _hard_template(self) -> Template:
        """The template of a generator that writes without `fit`; raises NotFittedError as `_fitted_template`."""
        template = self._template()
        what = "soft slots" if template.blocks else "demonstrations" if template.demos is not None else ""
        if what:
            raise NotFittedError(
                f"the {what} of {str(template)!r} are learnt from examples with answers; call fit first, or take them "
                "out to write with the hard prompt alone"
            )
        return template

    @property
    def _is_warm(self) -> bool:
        return self.warm_start and hasattr(self, "prompt_")

    def _compile(self, template: Template) -> CompiledGenerator:
        return CompiledGenerator(template, self._load_backbone(), plain(self.max_length), self.chat_options)

    def _bound_prompt(self) -> BoundGenerator:
        """The fitted prompt, or a hard one that needs no `fit`, compiled once for all calls."""
        bound = self._bound  # read once, since a fit in another thread may replace it
        if hasattr(self, "prompt_"):
            prompt, backbone = self.prompt_, self.backbone_
        else:
            template, backbone = self._fitted_template(), self._load_backbone()
            prompt = self._make_prompt(template, backbone, None, None, {})
            # the same object as long as no parameter changes, so that it is compiled once
            prompt = bound.prompt if bound is not None and bound.prompt == prompt else prompt
        if bound is None or bound.prompt is not prompt or bound.backbone is not backbone:
            bound = self._bound = BoundGenerator(prompt, backbone)
        return bound

    def _make_prompt(
        self,
        template: Template,
        backbone: Backbone,
        soft: SoftVectors | None,
        demonstrations: Demonstrations | None,
        training: Mapping[str, Any],
    ) -> GeneratorPrompt:
        return GeneratorPrompt(
            template=template,
            model=backbone.name,
            fingerprint=backbone.fingerprint,
            vectors=soft.by_block() if soft is not None else {},
            deep=soft.deep_by_block() if soft is not None else {},
            networks=soft.field_networks() if soft is not None else {},
            max_length=plain(self.max_length),
            chat_options=self.chat_options,
            demonstrations=demonstrations,
            options=validate_options(self._options()),
            training=training,
        )
