"""A generator's prompt bound to a backbone: the path from examples to written text."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from softcloze.backbone import Backbone, SoftInputs
from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.generation import (
    Written,
    stream_text,
    validate_options,
    with_changes,
)
from softcloze.prompt.card import explain_misfit
from softcloze.prompt.compiled_generator import CompiledGenerator
from softcloze.prompt.generator import GeneratorPrompt
from softcloze.prompt.soft_prompt import bind_vectors, validate_after_prefix
from softcloze.scoring import compute_features

if TYPE_CHECKING:
    from softcloze.generation.hooks import Follow


class BoundGenerator:
    r"""A generator's prompt compiled for its backbone, which writes answers for any number of examples.

    Attributes:
        prompt: the prompt.
        compiled: its template, compiled for the backbone.
        writer: writes with the options of the prompt.
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
        self.compiled = compiled
        self.writer = compiled.writer(prompt.options)
        self.soft = bind_vectors(prompt, compiled.template.blocks, backbone)

    @classmethod
    def from_saved(cls, prompt: GeneratorPrompt, backbone: Backbone) -> Self:
        """Bind a prompt that was loaded.

        Raises:
            ArtifactError: it belongs to another model, or does not fit its own, as after an edit of its files.
        """
        prompt.validate_backbone(backbone)
        with explain_misfit(prompt.kind.kind, backbone.name):
            return cls(prompt, backbone)

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
        prompts = self.compiled.encode(examples, demonstrations, answers=answers, max_new_tokens=most)
        validate_after_prefix(self.prompt, prompts)
        return prompts

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

    def write_batches(
        self,
        prompts: Sequence[EncodedPrompt],
        receive: Callable[[Mapping[int, Written]], None],
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        done: Collection[int] = (),
    ) -> None:
        """Write an answer for each encoded example, batch by batch: see `Writer.write_batches`."""
        writer = self.compiled.writer(self.options(options))
        writer.write_batches(prompts, receive, self._inputs(), seed, done=done)

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
            sums = (
                compute_features(self.compiled.scorer(self.prompt.options), prompts, self._inputs())[:, 0]
                .double()
                .numpy()
            )
        counts = np.array([len(prompt.answer) for prompt in prompts])
        result: NDArray[np.float64] = sums / counts
        return result

    def _inputs(self) -> SoftInputs | None:
        """The vectors for a forward pass, without gradient."""
        with torch.no_grad():
            return self.soft.inputs() if self.soft is not None else None
