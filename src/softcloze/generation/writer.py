"""Write texts after encoded prompts, in batches of similar length."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from softcloze.backbone import Backbone, PrefixCache, SoftInputs, run_length_bucketed, shared_prefix
from softcloze.backbone.batching import MAX_BATCH_TOKENS
from softcloze.encoding import EncodedPrompt
from softcloze.generation.options import DEFAULT_TOKENS, generation_config, processors_of
from softcloze.generation.stops import before_stop
from softcloze.scoring.answers import AnswerPlan
from softcloze.scoring.field_vectors import with_field_vectors
from softcloze.scoring.plan import ModelInput, late_positions
from softcloze.scoring.shared_prefix import CACHED_PER_TOKEN

if TYPE_CHECKING:
    from softcloze.generation.hooks import Follow

# tokens of padding that cost about as much as a step of a batch, in which all weights are loaded for one token of each
# text: docs/measurements/generation-speed.md
STEP_TOKENS = 12


class Written(NamedTuple):
    """A text that a model wrote.

    Attributes:
        ids: its new tokens, with those of a stop string, without the end token.
        text: their text before the first stop string, without special tokens.
        finish: "stop" where a stop string ended the text, "end" where an end token did, and "length" where no more new
            tokens, or no more time, were allowed.
    """

    ids: tuple[int, ...]
    text: str
    finish: Literal["stop", "end", "length"]


@dataclass(frozen=True)
class Writer:
    """Writes texts with a backbone.

    Attributes:
        backbone: a causal or seq2seq model.
        plan: the sequences after which it writes.
        options: those of transformers by name, checked by `validate_options`.
        space: white space that precedes a text and is no part of it.
        stops: stop strings, in addition to those of the options.
        ends: token ids that end a text.
        max_new_tokens: the limit where the options have none.

    Source:
        Batches sorted by length as in lm-evaluation-harness; the rest is `generate` of transformers.
    """

    backbone: Backbone
    plan: AnswerPlan
    options: Mapping[str, Any] = field(default_factory=dict)
    space: str = ""
    stops: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    max_new_tokens: int = DEFAULT_TOKENS

    @property
    def limit(self) -> int:
        """New tokens of a text at most."""
        return int(self.options.get("max_new_tokens", self.max_new_tokens))

    @property
    def all_stops(self) -> tuple[str, ...]:
        """All stop strings."""
        given = self.options.get("stop_strings") or ()
        return (*self.stops, *((given,) if isinstance(given, str) else given))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self.backbone.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def text(self, ids: Sequence[int]) -> str:
        """The text of all tokens since the prompt, without the space in front."""
        return self.decode(ids).removeprefix(self.space)

    def write(
        self,
        prompts: Sequence[EncodedPrompt],
        soft: SoftInputs | None = None,
        seed: int = 0,
        follow: "Follow | None" = None,
    ) -> list[Written]:
        """Write a text after each prompt, without gradient.

        A causal model computes once what all prompts begin with. Texts do not depend on the batches, unless they are
        drawn with `do_sample`: the rows of a batch then share their random numbers.

        Args:
            prompts: encoded prompts, each with space for `limit` new tokens.
            soft: the soft vectors, or None where the template has none.
            seed: with `do_sample`, the seed of a batch is the sum of this and the index of its first prompt. PyTorch's
                global generators are restored afterwards.
            follow: called after each token with the index of each prompt of the batch and its new ids so far, which
                are filled up after their end; with several beams, those of the best. If it returns True, the text is
                not needed: the batch ends without it. A batch that does not fit into memory is written again, in parts.

        Raises:
            BackboneError: the model cannot write.
            NonFiniteError: its scores are NaN or infinite; names the reason.
            OutOfMemoryError: a single prompt does not fit into memory.
        """
        written: dict[int, Written] = {}
        self.write_batches(prompts, written.update, soft, seed, follow)
        return [written[i] for i in range(len(prompts))]

    def write_batches(
        self,
        prompts: Sequence[EncodedPrompt],
        receive: Callable[[Mapping[int, Written]], None],
        soft: SoftInputs | None = None,
        seed: int = 0,
        follow: "Follow | None" = None,
        done: Collection[int] = (),
    ) -> None:
        """Write a text after each prompt, and give away those of each batch as soon as it ends.

        Args:
            prompts: as for `write`, like the arguments that are not named here.
            receive: takes the texts of a batch by the indices of their prompts.
            soft: the soft vectors.
            seed: of the drawing.
            follow: called after each token.
            done: indices of all prompts of some batches, which are left out. The others stay as they are.

        Raises:
            SoftclozeError: as `write`.
        """
        self.backbone.validate_writer()
        with self.backbone.frozen(), torch.inference_mode():
            prompts, soft = with_field_vectors(self.backbone, prompts, soft)
            inputs = [self.opening(prompt) for prompt in prompts]
            prefix = self._shared_prefix(inputs, soft)
            cached = prefix.padded_length if prefix is not None else 0
            lengths = [len(model_input.source or model_input.ids) - cached for model_input in inputs]

            def run(batch: list[int]) -> None:
                if all(i in done for i in batch):
                    return
                with self._drawing(seed + batch[0]):
                    new = self._batch(batch, prompts, inputs, soft, prefix, follow)
                receive(dict(zip(batch, map(self._finished, new), strict=True)))

            if prefix is not None and self._exceeds_window(inputs):
                for i in range(len(prompts)):  # without padding after the prefix
                    run([i])
            else:
                copies, known = int(self.options.get("num_beams", 1)), cached // CACHED_PER_TOKEN + self.limit
                padding = STEP_TOKENS * self.limit
                run_length_bucketed(lengths, lambda i: copies * (lengths[i] + known), run, MAX_BATCH_TOKENS, padding)

    def opening(self, prompt: EncodedPrompt) -> ModelInput:
        """The sequence that the model continues; a forced first token takes the place of the tokenizer's own."""
        opening = self.plan.opening(prompt)
        if self.options.get("forced_bos_token_id") is None or not self.plan.begins_after_start:
            return opening
        return replace(opening, ids=opening.ids[:1])

    def _shared_prefix(self, inputs: Sequence[ModelInput], soft: SoftInputs | None) -> PrefixCache | None:
        """Keys and values of the ids that all sequences of a causal model begin with; None if none are of use."""
        late = soft is not None and soft.late  # which need the states of the whole prompt
        given = soft is not None and bool(soft.prefixes)  # keys and values in place of vectors
        if (
            (len(inputs) < 2 and not given)
            or late
            or self.backbone.family != "causal"
            or not self.backbone.supports_prefix_cache
        ):
            return None
        sequences = [model_input.ids for model_input in inputs]
        if not given and (len(inputs) < 2 or self._exceeds_window(inputs)):
            return None  # padding after the prefix would count as distance
        # the last id gives the scores of the first new token
        length = min(shared_prefix(sequences), min(map(len, sequences)) - 1)
        return self.backbone.prefill([sequences[0][:length]], soft) if length > 0 else None

    def _exceeds_window(self, inputs: Sequence[ModelInput]) -> bool:
        """Return True if a layer sees less than the longest sequence with its text."""
        return max(len(model_input.ids) for model_input in inputs) + self.limit > self.backbone.window

    def _batch(
        self,
        batch: Sequence[int],
        prompts: Sequence[EncodedPrompt],
        inputs: Sequence[ModelInput],
        soft: SoftInputs | None,
        prefix: PrefixCache | None,
        follow: "Follow | None",
    ) -> list[list[int]]:
        """New ids of the prompts of one batch, which are given by their indices, filled up with padding."""
        from transformers import LogitsProcessorList, StoppingCriteriaList

        from softcloze.generation.hooks import FiniteScores, StopAt  # slow to import, with transformers

        opening = len(inputs[0].ids) if inputs[0].source else 0
        finite = FiniteScores(self.backbone, soft.tensors if soft is not None else {})
        stop = StopAt(self.decode, self.all_stops, opening, batch, follow, self.space)
        late = [late_positions(prompts[i], inputs[i]) for i in batch]
        return self.backbone.write(
            [inputs[i].ids for i in batch],
            generation_config(
                {**self.options, "max_new_tokens": self.limit}, self.ends, self.padding_id, self.backbone.decoder_start
            ),
            sources=[inputs[i].source for i in batch] if opening else (),
            soft=soft,
            prefix=prefix,
            late_positions=late if soft is not None and soft.late else (),
            logits_processor=LogitsProcessorList([finite, *processors_of(self.options)]),
            stopping_criteria=StoppingCriteriaList([stop]),
        )

    @property
    def padding_id(self) -> int:
        """The token id that fills up a batch."""
        tokenizer = self.backbone.tokenizer
        known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        return int(next(i for i in known if i is not None))

    @property
    def end_ids(self) -> tuple[int, ...]:
        """All token ids that end a text."""
        given = self.options.get("eos_token_id", self.ends)
        return tuple(given) if isinstance(given, list | tuple) else (int(given),)

    def _finished(self, new: Sequence[int]) -> Written:
        """Cut off what follows the end token or the first stop string."""
        ends = self.end_ids
        end = next((k for k, token in enumerate(new) if token in ends or token < 0), None)  # beams fill up with -1
        ids = tuple(new[:end])
        text = self.text(ids)
        before = before_stop(text, self.all_stops)
        if before == text:
            return Written(ids, text, "length" if end is None else "end")
        while before_stop(shorter := self.text(ids[:-1]), self.all_stops) != shorter:
            ids = ids[:-1]  # what fills up the batch
        return Written(ids, before, "stop")

    @contextmanager
    def _drawing(self, seed: int) -> Iterator[None]:
        """Seed PyTorch's global generators, from which `generate` draws, and restore them afterwards."""
        if not self.options.get("do_sample"):
            yield
            return
        device = self.backbone.device
        with ExitStack() as stack:
            if device.type == "cuda":
                stack.enter_context(torch.random.fork_rng([device]))
                stack.enter_context(torch.cuda.device(device))
                torch.cuda.manual_seed(seed)
            else:
                stack.enter_context(torch.random.fork_rng([]))
            torch.default_generator.manual_seed(seed)
            yield
