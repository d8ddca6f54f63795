"""The prompt of a generator: template and soft vectors, saved and loaded as one folder, and bound to its model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze.backbone import Backbone, SoftInputs
from softcloze.data import Example
from softcloze.demonstrations import Demonstrations, answer_demonstrations_from_dict
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt
from softcloze.errors import ArtifactError, EncodingError, SoftclozeError
from softcloze.generation import (
    DEFAULT_TOKENS,
    Writer,
    Written,
    stream_text,
    validate_ids,
    validate_options,
    with_changes,
)
from softcloze.prompt.card import explain_damage
from softcloze.prompt.compiled import validate_late_fields, validate_layers
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
from softcloze.scoring import AnswerPlan, Scorer, compute_features
from softcloze.soft import SoftVectors
from softcloze.template import ChatOptions, Template

if TYPE_CHECKING:
    from softcloze.generation.hooks import Follow

NOTHING_BEFORE_ANSWER = (
    "nothing stands before <answer>, and a causal model writes after the text before it; put some text, a field or a "
    "soft slot there"
)


@dataclass(frozen=True)
class GeneratorPrompt(SoftPrompt):
    """A template with an <answer> and its soft vectors, for one backbone.

    Attributes:
        template: the template.
        model: the backbone's name.
        fingerprint: its `Backbone.fingerprint`.
        vectors: as of `softcloze.prompt.prompt.Prompt`, like the next two.
        deep: vectors at later layers.
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
        if problem := check_tensors(tensors, soft_shapes(self.template, self.demonstrations)):
            raise ArtifactError(f"this generator cannot be saved: {problem}")
        return Content(card, {tensor_file(suffix): save_tensors(tensors)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load a generator that `save` wrote.

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
        if problem := check_tensors(tensors, soft_shapes(template, demonstrations)):
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
        r"""Make a prompt of an adapter that PEFT trained for prompt tuning or P-tuning.

        The template is `<soft*N name=peft>` and the tail: see `softcloze.prompt.Prompt.from_peft`.

        Args:
            path: the folder of the adapter.
            tail: the template after the vectors, as in "<text>\nSummary: <answer>\n".
            backbone: the model that the adapter was trained on.
            task: index of the task of a MULTITASK_PROMPT_TUNING adapter.
            options: options of writing: see `softcloze.generation.OPTIONS`.

        Raises:
            ArtifactError: the adapter is damaged, belongs to a model of another width, or is of a kind that is no such
                prompt, such as LORA, or PREFIX_TUNING, whose keys and values a generator cannot hold.
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
        if prefixes:
            raise ArtifactError(
                f"the adapter in {path} is of type 'PREFIX_TUNING', and a generator holds vectors and no keys and "
                "values; train it as PROMPT_TUNING or P_TUNING"
            )
        return cls(template, backbone.name, backbone.fingerprint, vectors=vectors, options=checked)

    def validate_backbone(self, backbone: Backbone) -> None:
        """Raise ArtifactError if the prompt belongs to another backbone.

        Raises:
            ArtifactError: a part of the fingerprint, or the size of a tensor, differs; shows both values.
        """
        validate_fingerprint(self, backbone)
        validate_soft_sizes(self, backbone)


class CompiledGenerator:
    """A template with an <answer> compiled for a backbone.

    Attributes:
        backbone: the model.
        template: the compiled template.
        plan: the sequences that the model continues with answers.
        scorer: computes the log-likelihoods of given answers.
        space: white space before an answer, which the model writes and which is not part of it.
        stops: the stop string of the template, if it has one.
        ends: token ids that end an answer.
        max_new_tokens: new tokens of an answer, where no option says so: `max` of its tag, or `DEFAULT_TOKENS` and at
            most half of the positions.
    """

    def __init__(
        self,
        template: Template,
        backbone: Backbone,
        max_length: int | None = None,
        chat_options: ChatOptions | None = None,
    ):
        """Compile the template and check that it fits the backbone.

        Raises:
            TemplateSyntaxError: the model cannot write this answer, or soft vectors enter at a layer that the model
                lacks; shows the place.
            EncodingError: the tokenizer's chat template does not write the chat turns.
            TokenizerError: chat turns, and a tokenizer without a chat template.
            BackboneError: the model cannot write after soft vectors.
            ParameterError: the chat template has no such option.
        """
        limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
        self.backbone = backbone
        self.template = CompiledTemplate(template, backbone.prompt_tokenizer, limit, chat_options=chat_options)
        answers = self.template.answers
        if answers is None or template.answer is None:
            raise ValueError(f"{str(template)!r} has no <answer>")
        backbone.validate_writer()
        validate_layers(template, backbone)
        validate_late_fields(template, backbone)
        self.plan = AnswerPlan(backbone, answers)
        self.scorer = Scorer(backbone, self.plan)
        self.space, self.ends = answers.space, answers.end_ids
        self.stops = (answers.stop,) if answers.stop is not None else ()
        positions = getattr(backbone.model.config, "max_position_embeddings", None)
        decodes = backbone.family == "seq2seq" and isinstance(positions, int)
        self._decoder_limit = positions - len(answers.opening) - 1 if decodes and positions is not None else None
        most = template.answer.max
        self.max_new_tokens = most if most is not None else max(1, min(DEFAULT_TOKENS, limit // 2))

    def encode(
        self,
        examples: Sequence[Example],
        demonstrations: Sequence[Sequence[Demonstration]] | None = None,
        *,
        answers: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
    ) -> list[EncodedPrompt]:
        """Encode examples, with space for new tokens or for the answers that are given.

        Raises:
            TemplateSyntaxError: the template reads no field of an example, or leaves one as a placeholder.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or its answer cannot be encoded, or nothing of it fits; names the row.
        """
        self.template.template.validate_examples(examples)
        most = max_new_tokens if max_new_tokens is not None else self.max_new_tokens
        if self._decoder_limit is not None and most > self._decoder_limit:
            raise EncodingError(
                f"the decoder of {self.backbone.name} writes {self._decoder_limit} new tokens at most, found "
                f"max_new_tokens={most}; lower it, or max in the template"
            )
        prompts = self.template.encode(examples, answer_length=most, demonstrations=demonstrations, answers=answers)
        for row, prompt in enumerate(prompts):
            where = f"row {row}: " if len(prompts) > 1 else ""
            if prompt.emptied:
                raise EncodingError(
                    f"{where}nothing of the example fits beside {most} new tokens and the rest of the prompt, which "
                    f"together take {self.template.max_length} positions; lower max_new_tokens, shorten the template "
                    "or raise max_length"
                )
            if self._decoder_limit is not None and len(prompt.answer) > self._decoder_limit:
                raise EncodingError(
                    f"{where}the answer has {len(prompt.answer)} tokens with its end, and the decoder of "
                    f"{self.backbone.name} writes {self._decoder_limit} at most; shorten it"
                )
            if not prompt.left and self.backbone.family == "causal":
                raise EncodingError(f"{where}{NOTHING_BEFORE_ANSWER}")
        return prompts

    def validate_options(self, options: Mapping[str, Any]) -> None:
        """Raise ParameterError if checked options of writing have a token id that the model lacks."""
        validate_ids(options, self.backbone.model.config.get_text_config().vocab_size)

    def writer(self, options: Mapping[str, Any]) -> Writer:
        """A writer of answers; `options` as checked by `validate_options`.

        Raises:
            ParameterError: they have a token id that the model lacks.
        """
        self.validate_options(options)
        return Writer(self.backbone, self.plan, options, self.space, self.stops, self.ends, self.max_new_tokens)


class BoundGenerator:
    r"""A generator's prompt compiled for its backbone, which writes answers for any number of examples.

    Attributes:
        prompt: the prompt.
        compiled: its template, compiled for the backbone.
        soft: its soft vectors; None where the template has none.

    Example:
        >>> from softcloze import Template, load_backbone
        >>> backbone = load_backbone("starter:smollm2-135m")  # doctest: +SKIP
        >>> prompt = GeneratorPrompt(
        ...     Template("<text>\nIn one word: <answer max=3>"), backbone.name, backbone.fingerprint
        ... )  # doctest: +SKIP
        >>> BoundGenerator(prompt, backbone).write(["A delight."])  # doctest: +SKIP
    """

    def __init__(self, prompt: GeneratorPrompt, backbone: Backbone, compiled: CompiledGenerator | None = None):
        """Compile the prompt for `backbone`; raises as `CompiledGenerator`, and ParameterError if vectors are missing.

        Args:
            prompt: a hard prompt, or a trained one; `GeneratorPrompt.validate_backbone` checks whether it belongs to
                `backbone`.
            backbone: the model.
            compiled: its template, if it is compiled already.
        """
        self.prompt = prompt
        if compiled is None:
            compiled = CompiledGenerator(prompt.template, backbone, prompt.max_length, prompt.chat_options)
        compiled.validate_options(prompt.options)
        self.compiled = compiled
        self.soft: SoftVectors | None = None
        if compiled.template.blocks:
            tensors = (prompt.vectors, prompt.deep, prompt.networks)
            self.soft = SoftVectors.from_blocks(compiled.template.blocks, *tensors).to(backbone.device)

    @classmethod
    def from_saved(cls, prompt: GeneratorPrompt, backbone: Backbone) -> Self:
        """Bind a prompt that was loaded.

        Raises:
            ArtifactError: it belongs to another model, or does not fit its own, as after an edit of its files.
        """
        prompt.validate_backbone(backbone)
        try:
            return cls(prompt, backbone)
        except SoftclozeError as error:
            raise ArtifactError(f"the saved generator does not fit {backbone.name}: {error}") from error

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.compiled.backbone

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return self.prompt.template.fields

    def encode(
        self,
        examples: Sequence[Example],
        options: Mapping[str, Any] | None = None,
        *,
        answers: Sequence[str] | None = None,
    ) -> list[EncodedPrompt]:
        """Encode examples, with their demonstrations if the template has any; raises as `CompiledGenerator.encode`.

        Args:
            examples: examples.
            options: changes of the options of writing, of which max_new_tokens has an effect.
            answers: an answer of each example.
        """
        demonstrations = self.prompt.demonstrations_for(examples, self.backbone)
        most = self.options(options).get("max_new_tokens")
        return self.compiled.encode(examples, demonstrations, answers=answers, max_new_tokens=most)

    def options(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The options of writing of the prompt with changes, checked.

        Raises:
            ParameterError: as `validate_options`.
        """
        return validate_options(with_changes(self.prompt.options, changes if changes is not None else {}))

    def write_encoded(
        self, prompts: Sequence[EncodedPrompt], options: Mapping[str, Any] | None = None, seed: int = 0
    ) -> list[str]:
        """Write an answer for each encoded example; see `Writer.write` for the seed."""
        return [written.text for written in self.written(prompts, options, seed)]

    def written(
        self,
        prompts: Sequence[EncodedPrompt],
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        follow: "Follow | None" = None,
    ) -> list[Written]:
        """Write an answer for each encoded example, with its tokens and its end; see `Writer.write` for arguments."""
        return self.compiled.writer(self.options(options)).write(prompts, self._inputs(), seed, follow)

    def write(self, examples: Sequence[Example], options: Mapping[str, Any] | None = None, seed: int = 0) -> list[str]:
        """Write an answer for each example; raises as `encode`."""
        return self.write_encoded(self.encode(examples, options), options, seed)

    def stream(self, example: Example, options: Mapping[str, Any] | None = None, seed: int = 0) -> Iterator[str]:
        """Write the answer of one example piece by piece: see `stream_text`; raises as `encode`."""
        (prompt,) = self.encode([example], options)
        soft = self._inputs()
        return stream_text(self.compiled.writer(self.options(options)), prompt, soft, seed)

    def log_likelihood(self, examples: Sequence[Example], answers: Sequence[str]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of each answer and its end, in nats, shape (examples,).

        Raises:
            NonFiniteError: the scores of an answer are NaN or infinite; names the row.
            SoftclozeError: as `encode`.
        """
        prompts = self.encode(examples, answers=answers)
        with self.backbone.frozen(), torch.no_grad():
            sums = compute_features(self.compiled.scorer, prompts, self._inputs())[:, 0].double().numpy()
        counts = np.array([len(prompt.answer) for prompt in prompts])
        result: NDArray[np.float64] = sums / counts
        return result

    def _inputs(self) -> SoftInputs | None:
        """The vectors for a forward pass, without gradient."""
        with torch.no_grad():
            return self.soft.inputs() if self.soft is not None else None
