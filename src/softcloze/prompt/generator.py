"""The prompt of a generator: template, soft vectors and options of writing, saved and loaded as one folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, ClassVar, Self

from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.demonstrations import Demonstrations, answer_demonstrations_from_dict
from softcloze.errors import ArtifactError
from softcloze.generation import (
    validate_options,
)
from softcloze.prompt.card import explain_damage
from softcloze.prompt.folder import Content, SavedFolder
from softcloze.prompt.generator_card import GENERATOR, GENERATOR_CARD, GeneratorCard
from softcloze.prompt.soft_prompt import (
    POOL,
    SoftPrompt,
    shared_parts,
    soft_shapes,
    soft_tensors,
    validate_fingerprint,
    validate_soft_sizes,
)
from softcloze.prompt.tensors import check_tensors, read_tensors, tensor_file
from softcloze.template import ChatOptions, Template


@dataclass(frozen=True)
class GeneratorPrompt(SoftPrompt):
    """A template with an <answer> and its soft vectors, for one backbone.

    Attributes:
        template: the template.
        model: the backbone's name.
        fingerprint: its `Backbone.fingerprint`.
        vectors: as of `softcloze.prompt.prompt.Prompt`, like the next three.
        deep: vectors at later layers.
        prefixes: keys and values in place of vectors.
        networks: the networks of blocks with from=.
        max_length: limit in tokens that prompts are truncated to, new tokens included; None for the model's own.
        chat_options: values of variables of the tokenizer's chat template, for a template with chat turns.
        demonstrations: selects demonstrations, where the template has some.
        options: options of writing: see `softcloze.generation.OPTIONS`.
        training: settings and history of the training; empty for a hard prompt.
        metrics: measured values, by name.
        kind: the kind of folder that holds it.
    """

    kind: ClassVar[SavedFolder] = GENERATOR

    template: Template
    model: str
    fingerprint: Mapping[str, str] = field(repr=False)
    vectors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    deep: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    prefixes: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    networks: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    max_length: int | None = None
    chat_options: ChatOptions | None = None
    demonstrations: Demonstrations | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def content(self, suffix: str = "") -> Content:
        """The content of the folder, with `suffix` in the name of the file of vectors."""
        card = {
            **self._shared_entries(),
            "demonstrations": self.demonstrations.to_dict(()) if self.demonstrations is not None else None,
            "options": dict(self.options),
        }
        tensors = soft_tensors(self)
        if problem := check_tensors(tensors, soft_shapes(self.template, self.demonstrations, tensors)):
            raise ArtifactError(f"this generator cannot be saved: {problem}")
        return Content(card, {tensor_file(suffix): save_tensors(tensors)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load a generator that `save` wrote, from its folder or from hf://USER/NAME@REVISION on a hub.

        Raises:
            ArtifactError: `path` is not a saved generator, or a file is missing, damaged or altered, or has another
                format; names the file.
        """
        folder, card, template = GeneratorCard.load(path)
        file = read_tensors(GENERATOR, folder, card)
        if file is None:
            return cls.load(path)
        tensors_path, tensors = file
        with explain_damage(folder / GENERATOR_CARD, "demonstrations"):
            demonstrations = answer_demonstrations_from_dict(card["demonstrations"], tensors.get(POOL), template)
        with explain_damage(folder / GENERATOR_CARD, "options"):
            options = validate_options(card["options"])
        if problem := check_tensors(tensors, soft_shapes(template, demonstrations, tensors)):
            raise ArtifactError(f"{tensors_path} is damaged: {problem}")
        shared = shared_parts(card, tensors)
        return cls(template=template, demonstrations=demonstrations, options=options, **shared)

    def to_peft(self, path: str | PathLike[str], backbone: Backbone) -> None:
        """Write the prompt as an adapter of PEFT, as `softcloze.prompt.Prompt.to_peft` does.

        On single rows `generate` of PEFT's model writes the same greedy ids. README.md in the folder has the tail and
        code that writes.

        Args:
            path: a new or an empty folder.
            backbone: the model of the prompt.

        Raises:
            ParameterError: an adapter cannot hold the prompt: a soft slot stands after a field or has from=, it has
                Jinja, it selects demonstrations for each example, or its options count new tokens alone.
            ArtifactError: the prompt belongs to another model.
            BackboneError: the model runs otherwise in PEFT.
            FileError: the folder is not empty or cannot be written.

        Source:
            Lester et al., EMNLP 2021, arXiv:2104.08691 (prompt tuning), as PEFT saves it.
        """
        from softcloze.prompt.peft_generator import to_peft

        to_peft(self, path, backbone)

    @classmethod
    def from_peft(
        cls,
        path: str | PathLike[str],
        tail: str,
        backbone: Backbone,
        task: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        r"""Make a prompt of an adapter that PEFT trained for prompt tuning, P-tuning or prefix tuning.

        The template is `<soft*N name=peft>` and the tail: see `softcloze.prompt.Prompt.from_peft`.

        Args:
            path: the folder of the adapter.
            tail: the template after the vectors, as in "<text>\nSummary: <answer>\n".
            backbone: the model that the adapter was trained on.
            task: index of the task of a MULTITASK_PROMPT_TUNING adapter.
            options: options of writing: see `softcloze.generation.OPTIONS`.

        Raises:
            ArtifactError: the adapter is damaged, belongs to a model of another width, or is of a kind that is no such
                prompt, such as LORA.
            ParameterError: as `softcloze.prompt.Prompt.from_peft`; or an option is unknown or has a wrong value.
            TemplateSyntaxError: the tail has no <answer>, or breaks another rule of the template language.
            EncodingError: the tokenizer writes the tail after the vectors in another way than by itself.

        Example:
            >>> from softcloze import load_backbone
            >>> backbone = load_backbone("starter:smollm2-135m")  # doctest: +SKIP
            >>> GeneratorPrompt.from_peft("adapter", "<text>\nSummary: <answer>\n", backbone)  # doctest: +SKIP
        """
        from softcloze.prompt.peft_import import from_peft

        after = Template(tail)
        after.validate_writes()
        checked = validate_options(options if options is not None else {})
        template, vectors, prefixes = from_peft(path, after, backbone, task)
        return cls(template, backbone.name, backbone.fingerprint, vectors=vectors, prefixes=prefixes, options=checked)

    def validate_backbone(self, backbone: Backbone) -> None:
        """Raise ArtifactError if the prompt belongs to another backbone.

        Raises:
            ArtifactError: a part of the fingerprint, or the size of a tensor, differs; shows both values.
        """
        validate_fingerprint(self, backbone)
        validate_soft_sizes(self, backbone)
