"""Forward passes of a frozen language model: scores, states, prefixes and text."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softcloze.backbone.compatibility import (
    can_cut_head,
    can_pack,
    can_skip_layers,
    feed_forward,
    head_start,
    prefix_cache_reason,
)
from softcloze.backbone.frozen_model import FrozenModel
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.lm_head import HeadPart, Outputs, StatesOf
from softcloze.backbone.packing import BRANCHING, MAX_TREE_TOKENS, pack, pack_evenly, worth_packing
from softcloze.backbone.precision import non_finite_reason
from softcloze.backbone.quantisation import NONE
from softcloze.backbone.soft_inputs import NOTHING_AFTER_PREFIX, SoftInputs, StatesBelow
from softcloze.backbone.writing import validate_writer, write
from softcloze.calibration.scores import non_finite_rows
from softcloze.errors import BackboneError, EncodingError, NonFiniteError

if TYPE_CHECKING:
    from transformers import GenerationConfig


class Backbone(FrozenModel):
    """A frozen pretrained language model and its tokenizer.

    The model is borrowed: it is frozen and in evaluation mode while it runs, and every flag is restored afterwards.
    `sklearn.clone` and `copy` return the same backbone, so that a grid search shares one; a pickle holds its name
    (`softcloze.backbone.by_name`).

    Attributes:
        model: a transformers model with a masked, causal or seq2seq language-modelling head.
        tokenizer: its tokenizer, of which softcloze keeps a private copy.
        name: the name that saved prompts refer to.
        family: "masked", "causal" or "seq2seq".
        prompt_tokenizer: the private copy of the tokenizer.
        max_length: positions that the model accepts.
        uses_token_types: whether tokenizer and model mark the two texts of a pair by token types.
        compiled: whether torch compiled the model's layers for scoring; see `compile`.

    Example:
        >>> from transformers import AutoModelForMaskedLM, AutoTokenizer
        >>> name = "bert-base-chinese"
        >>> backbone = Backbone(
        ...     AutoModelForMaskedLM.from_pretrained(name), AutoTokenizer.from_pretrained(name), name
        ... )  # doctest: +SKIP
    """

    def compile(self) -> None:
        """Compile the model's layers for scoring with torch, in place; a compiled model stays as it is.

        This and the first batches take longer, up to half a minute in all. Scores differ by rounding.

        Raises:
            BackboneError: the model marks no layers, or torch cannot compile them, mostly for lack of a C++ compiler.
        """
        from torch._dynamo.exc import TorchDynamoException

        from softcloze.backbone.torch_compile import compile_layers

        if self.compiled:
            return
        if self.quantisation != NONE:
            raise BackboneError(f"torch cannot compile the weights of {self.name!r}, which are {self.quantisation}")
        layers = compile_layers(self.model, without=(self._head_start, self._feed_forward))
        try:
            # a missing compiler should be reported here, not at the start of a long run
            with self.frozen(), torch.inference_mode():
                self.outputs([[0, 1, 2, 3, 1, 2, 3], [2, 1]], [[4], [1]], sources=[(0, 1, 2), (3, 1)])
        except TorchDynamoException as error:
            for layer in layers:
                layer._compiled_call_impl = None
            raise BackboneError(
                f"cannot compile {self.name!r}: {error}\n"
                "torch needs a compiler for C++ and the headers of this Python (on Debian: g++ and python3-dev); "
                "without compile=True the model runs as it is written"
            ) from error
        self.compiled = True

    def outputs(
        self,
        sequences: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        state_positions: Sequence[Sequence[int]] = (),
        *,
        states_of: StatesOf = "head",
        token_type_ids: Sequence[Sequence[int] | None] | None = None,
        sources: Sequence[tuple[int, ...]] = (),
        soft: SoftInputs | None = None,
        vocab_ids: Tensor | None = None,
        prefix: PrefixCache | None = None,
        prefix_index: Sequence[int] = (),
        late_positions: Sequence[Sequence[int]] = (),
    ) -> Outputs:
        """Logits and hidden states at some positions of some sequences; the head runs on nothing else.

        Sequences are padded on the right and prefixes on the left, with explicit position ids, so that the rest of a
        batch does not change the scores of a sequence. Sequences with a common prefix are packed into one where the
        model allows it; those of one prompt should be neighbours.

        Args:
            sequences: `batch` lists of ids; -1 - r is row r of `soft`. For a seq2seq model, the decoder's tokens.
            positions: for each sequence the positions of its logits; the results follow one another in this order.
            state_positions: for each sequence the positions of its hidden states, as well; empty for no states.
            states_of: the hidden states to take; of "encoder", `state_positions` are those in `sources`.
            token_type_ids: the token types of each sequence, None where all are 0; for a model that
                `uses_token_types`.
            sources: for a seq2seq model, the encoder's ids for each sequence; equal ones are encoded once.
            soft: the soft vectors.
            vocab_ids: vocabulary ids to score, shape (words,); all of them if None.
            prefix: prefixes of the sequences, from `prefill`.
            prefix_index: for each sequence the index of its prefix in `prefix`.
            late_positions: for each sequence, or its encoder's ids, the positions of the field on which vectors at a
                later layer depend; required if `soft` has such vectors. Sequences are not packed then.
        """
        if prefix is None and soft is not None and (known := soft.prefix_of(sequences)) is not None:
            prefix, prefix_index = known
            counts = prefix.lengths[prefix_index].tolist()
            sequences = _without_first(sequences, counts)
            positions, state_positions = (_after_prefix(lists, counts) for lists in (positions, state_positions))
            late_positions = _after_prefix(late_positions, counts)
        cut = vocab_ids is not None and self._can_cut_head
        part = HeadPart(vocab_ids, cut, self._head_start, self._feed_forward)
        shared = len(set(prefix_index)) < len(prefix_index) if prefix is not None else worth_packing(sequences)
        longest = max(map(len, sequences))
        if shared and not late_positions and longest <= (capacity := self.packing_capacity(prefix, longest)):
            if prefix is not None:
                packing = pack(sequences, prefix_index, capacity)
            else:
                packing = pack_evenly(sequences, capacity)
            return self._forward.packed(
                packing, positions, state_positions, states_of=states_of, soft=soft, prefix=prefix, part=part
            )
        return self._forward.padded(
            sequences,
            positions,
            state_positions,
            states_of=states_of,
            token_type_ids=token_type_ids,
            sources=sources,
            soft=soft,
            prefix=prefix,
            prefix_index=prefix_index,
            part=part,
            late_positions=late_positions,
        )

    def prefill(
        self, sequences: Sequence[Sequence[int]], soft: SoftInputs | None = None, prefix: PrefixCache | None = None
    ) -> PrefixCache:
        """Compute the keys and values of prefixes, without gradient; for models with `supports_prefix_cache`.

        Args:
            sequences: lists of ids as in `outputs`.
            soft: the soft vectors.
            prefix: a prefix of each sequence, which the result includes.
        """
        if prefix is None and soft is not None and (known := soft.prefix_of(sequences)) is not None:
            prefix = known[0].select(known[1])
            sequences = _without_first(sequences, prefix.lengths.tolist())
            if not any(sequences):
                return prefix
        return self._forward.prefill(sequences, soft, prefix, HeadPart(feed_forward=self._feed_forward))

    def validate_writer(self) -> None:
        """Raise BackboneError, with the reason, if the model cannot write text after soft vectors."""
        validate_writer(self._forward)

    def write(
        self,
        sequences: Sequence[Sequence[int]],
        config: "GenerationConfig",
        *,
        sources: Sequence[tuple[int, ...]] = (),
        soft: SoftInputs | None = None,
        prefix: PrefixCache | None = None,
        late_positions: Sequence[Sequence[int]] = (),
        **hooks: Any,  # noqa: ANN401 - what transformers calls while it writes
    ) -> list[list[int]]:
        """Write new tokens after some sequences with `generate` of transformers, in one batch, without gradient.

        Vectors that enter at later layers do so while the prompt is computed, and not at new tokens. Defaults of the
        model's own generation configuration have no effect.

        Args:
            sequences: ids of each prompt, as in `outputs`; for a seq2seq model those with which the decoder starts, all
                of one length.
            config: the options; its `num_return_sequences` is 1.
            sources: for a seq2seq model, the encoder's ids.
            soft: the soft vectors.
            prefix: a single prefix, from `prefill`, with which all sequences start; it stays as it is.
            late_positions: as for `outputs`.
            hooks: logits_processor and stopping_criteria, for `generate`.

        Returns:
            New ids of each prompt, filled up with the padding token after their end.
        """
        return write(
            self._forward,
            sequences,
            config,
            sources=sources,
            soft=soft,
            prefix=prefix,
            late_positions=late_positions,
            **hooks,
        )

    def layer_states(self, ids: Sequence[int], soft: SoftInputs | None = None) -> Tensor:
        """Hidden states of one sequence in front of each layer, without gradient and without what enters there.

        Args:
            ids: ids as in `outputs`; for a seq2seq model the encoder's.
            soft: the soft vectors, of which the input embeddings alone are used.

        Returns:
            Shape (layers, ids, layer width), float32, on the CPU.

        Raises:
            BackboneError: as `layers`.
        """
        return self._forward.layer_states(ids, soft)

    def states_below(
        self,
        layer: int,
        sequences: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int] | None],
        soft: SoftInputs,
    ) -> StatesBelow:
        """Hidden states of sequences in front of a layer, without gradient, computed by the layers below alone.

        Args:
            layer: index of the layer.
            sequences: ids as in `outputs`; for a seq2seq model the encoder's.
            token_type_ids: the token types of each sequence.
            soft: the soft vectors, of which the input embeddings alone are used.
        """
        return self._forward.states_below(layer, sequences, token_type_ids, soft)

    def can_skip_layers(self, layer: int) -> bool:
        """Return True if scores stay the same when the layers below `layer` are skipped and their result is put in."""
        return can_skip_layers(self._forward, layer)

    def validate_scores(self, scores: Tensor, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Raise NonFiniteError if a row of scores that the model computed cannot become probabilities.

        Args:
            scores: shape (rows, columns), in the order of the examples, on the CPU.
            tensors: trained tensors that took part, by a name for the message.

        Raises:
            NonFiniteError: names the first of these rows, the precision or the tensor, and the way out.
        """
        if rows := non_finite_rows(scores.numpy()):
            reason = non_finite_reason(self.model, tensors)
            raise NonFiniteError(f"the scores of {self.name!r} are not finite: {reason}", rows, len(scores))

    @property
    def supports_prefix_cache(self) -> bool:
        """True if scores stay the same when a sequence continues from cached keys and values."""
        return not self.prefix_cache_reason

    @cached_property
    def prefix_cache_reason(self) -> str:
        """Reason why the model has to run whole sequences; empty where it `supports_prefix_cache`."""
        return prefix_cache_reason(self._forward)

    @cached_property
    def can_pack(self) -> bool:
        """True if scores stay the same when sequences are packed into one, in which they do not see each other."""
        return self.supports_prefix_cache and can_pack(self._forward)

    def packing_capacity(self, prefix: PrefixCache | None, longest: int = 0) -> int:
        """Tokens that may be packed into one sequence after a prefix; 0 where sequences stay apart.

        Args:
            prefix: the prefix.
            longest: length of the longest sequence to pack; a long one gets space for branches.
        """
        cached = prefix.padded_length if prefix is not None else 0
        wanted = max(MAX_TREE_TOKENS, int(BRANCHING * longest))
        # our mask knows nothing of a layer's window, so all has to fit into it
        return max(0, min(wanted, self.window - cached)) if self.can_pack else 0

    @cached_property
    def _can_cut_head(self) -> bool:
        return can_cut_head(self._forward)

    @cached_property
    def _head_start(self) -> nn.Module | None:
        return head_start(self._forward)

    @cached_property
    def _feed_forward(self) -> nn.Module | None:
        return feed_forward(self._forward)


def _without_first(sequences: Sequence[Sequence[int]], counts: Sequence[int]) -> list[Sequence[int]]:
    return [ids[count:] for ids, count in zip(sequences, counts, strict=True)]


def _after_prefix(lists: Sequence[Sequence[int]], counts: Sequence[int]) -> list[list[int]]:
    """Positions counted from the end of a prefix; an empty list stays empty."""
    pairs = zip(lists, counts, strict=True) if lists else ()
    after = [[position - count for position in positions] for positions, count in pairs]
    if any(position < 0 for positions in after for position in positions):
        raise EncodingError(NOTHING_AFTER_PREFIX)
    return after
