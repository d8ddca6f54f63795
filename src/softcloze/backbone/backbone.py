"""A frozen pretrained language model and its tokenizer."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softcloze.backbone.batching import MAX_BATCH_TOKENS, tokens_per_batch
from softcloze.backbone.compatibility import (
    can_cut_head,
    can_pack,
    can_skip_layers,
    feed_forward,
    head_start,
    prefix_cache_reason,
    validate_adapter,
    validate_embeddings,
    validate_encoder,
)
from softcloze.backbone.family import AUTO, family_of, longest_prompt
from softcloze.backbone.fingerprint import active_adapters, weights_fingerprint
from softcloze.backbone.forward import ForwardPass
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.layers import Layers
from softcloze.backbone.lm_head import HeadPart, Outputs, StatesOf
from softcloze.backbone.packing import BRANCHING, MAX_TREE_TOKENS, pack, pack_evenly, worth_packing
from softcloze.backbone.precision import non_finite_reason
from softcloze.backbone.quantisation import NONE, keep_unpacked, quantisation_of, shape_of
from softcloze.backbone.seq2seq import decoder_start
from softcloze.backbone.soft_inputs import NOTHING_AFTER_PREFIX, SoftInputs, StatesBelow
from softcloze.backbone.weights import validate_finite, validate_vocabulary
from softcloze.backbone.writing import validate_writer, write
from softcloze.calibration.scores import non_finite_rows
from softcloze.encoding import PretrainedTokenizer, PromptTokenizer
from softcloze.encoding.tokenizer import validate_tokenizer
from softcloze.errors import BackboneError, EncodingError, NonFiniteError
from softcloze.formatting import quoted

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


class Backbone:
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

    def __init__(self, model: "PreTrainedModel", tokenizer: PretrainedTokenizer, name: str):
        """Wrap `model` and `tokenizer` as they are.

        Raises:
            BackboneError: the model has no language-modelling head of a known family, fails the checks of
                `softcloze.backbone.compatibility` and `softcloze.backbone.weights`, or is a seq2seq model whose
                decoder begins with no known token.
            TokenizerError: the tokenizer is not backed by the tokenizers library, or lacks the mask token.
        """
        _validate_types(model, tokenizer, name)
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.compiled = False
        self._fingerprints: dict[str, str] = {}
        self.family = family_of(model.config, tokenizer)
        self.prompt_tokenizer = PromptTokenizer(
            tokenizer, masked=self.family != "causal", decoder=self.family == "seq2seq"
        )
        validate_adapter(model)
        keep_unpacked(model)
        if getattr(model, "get_output_embeddings", lambda: None)() is None:
            raise BackboneError(
                f"{type(model).__name__} has no language-modelling head; load its checkpoint with {AUTO[self.family]}"
            )
        validate_vocabulary(model, tokenizer)
        validate_finite(model)
        self._forward = ForwardPass(model, self.family, typed_pairs=self.prompt_tokenizer.has_token_types)
        self.uses_token_types = self._forward.uses_token_types
        # keys and values of prefix tuning take positions as well
        virtual = getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", 0)
        self.max_length = longest_prompt(model.config, tokenizer, self._forward.first_position + virtual)
        self._validate()

    def _validate(self) -> None:
        """Raise BackboneError if the model does not run correctly on embeddings with a padding mask."""
        padding = getattr(self.model.config.get_text_config(), "pad_token_id", None)
        special = {*self.tokenizer.all_special_ids, padding}
        known = min(len(self.tokenizer), len(self.model.get_output_embeddings().weight))
        ordinary = [i for i in range(known) if i not in special]
        ids = ordinary[len(ordinary) // 2 :][:4]
        with self.frozen(), torch.no_grad():
            if self.family != "seq2seq":
                validate_embeddings(self._forward, ids)
            elif self.decoder_start is None:
                raise BackboneError(
                    f"{self.name!r} does not say with which token its decoder begins; set "
                    "model.config.decoder_start_token_id, for mBART to the id of the language's token"
                )
            else:
                validate_encoder(self._forward, self.decoder_start, ids)

    def __sklearn_clone__(self) -> "Backbone":
        """Share the frozen model instead of copying it."""
        return self

    def __copy__(self) -> "Backbone":
        """As `__sklearn_clone__`."""
        return self

    def __deepcopy__(self, memo: object) -> "Backbone":
        """As `__sklearn_clone__`."""
        return self

    def __repr__(self) -> str:
        """Name, family and size."""
        return f"Backbone({self.name!r}, family={self.family!r}, parameters={self.parameters:,})"

    @property
    def _dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")

    @cached_property
    def quantisation(self) -> str:
        """The form of the model's weights: "int8" or "nf4", or "none" for floating-point numbers."""
        return quantisation_of(self.model)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self._forward.device

    @property
    def width(self) -> int:
        """Width of an input embedding."""
        return int(self.model.get_input_embeddings().weight.shape[-1])

    @property
    def stack(self) -> nn.Module:
        """The model without its head, of a seq2seq model the encoder."""
        return self._forward.stack

    @property
    def state_width(self) -> int:
        """Width of a hidden state that the output embedding takes."""
        return int(self.model.get_output_embeddings().weight.shape[-1])

    @cached_property
    def probed_states(self) -> StatesOf:
        """The hidden states that a linear layer takes: in a causal model those that its last layer is given.

        The last layer turns them to the next token. They are inputs of the output embedding in other models, and if the
        model has one layer, or none through which hidden states alone pass.
        """
        if self.family == "causal":
            with suppress(BackboneError):
                if self.layers.count > 1 and self.layers.width == self.state_width:
                    return "last layer"
        return "head"

    @cached_property
    def mean_state_width(self) -> int:
        """Width of the vectors of `mean_states_of_ids`, which may differ from `state_width`."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        with self.frozen(), torch.no_grad():
            return int(self.stack(input_ids=token).last_hidden_state.shape[-1])

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(shape_of(parameter).numel() for parameter in self.model.parameters())

    @property
    def attention(self) -> str:
        """The attention implementation that runs here: the model's own, or "softcloze" instead of "sdpa"."""
        return self._forward.attention

    @property
    def decoder_start(self) -> int | None:
        """The token with which the decoder of a seq2seq model begins; None for other families."""
        return decoder_start(self.model) if self.family == "seq2seq" else None

    @cached_property
    def activation_bytes(self) -> int:
        """Bytes that a token keeps for the backward pass, estimated from inputs and outputs of all linear layers."""
        return sum(sum(shape) for shape in self._layer_shapes) * int(self.model.dtype.itemsize)

    @cached_property
    def token_budget(self) -> int:
        """Tokens in a batch without gradient; on a CPU it depends on the widest layer."""
        if self.device.type != "cpu":
            return MAX_BATCH_TOKENS
        return tokens_per_batch(max(map(max, self._layer_shapes), default=1), self.model.dtype.itemsize)

    @cached_property
    def head_cost(self) -> float:
        """Work of the language-model head for one position, as a multiple of that of all linear layers for a token."""
        numbers: int = self.model.get_output_embeddings().weight.numel()
        return numbers / max(1, sum(map(math.prod, self._layer_shapes)))

    @property
    def _layer_shapes(self) -> list[torch.Size]:
        """Shapes of the weights of all linear layers except the output embedding."""
        others = {id(module.weight) for module in self.model.modules() if isinstance(module, nn.Embedding)}
        others.add(id(self.model.get_output_embeddings().weight))
        weights = [weight for weight in self.model.parameters() if weight.dim() == 2 and id(weight) not in others]
        return [shape_of(weight) for weight in weights]

    @property
    def fingerprint(self) -> dict[str, str]:
        """The form of the model's weights, and fingerprints of them, of its tokenizer and of its chat template."""
        return {
            # the weights that are rounded have this precision already
            "quantisation": NONE if self.quantisation == NONE else f"{self.quantisation} {self._dtype}",
            "model": self._weights_fingerprint(),
            "tokenizer": self.prompt_tokenizer.fingerprint,
            "chat_template": self.prompt_tokenizer.chat_fingerprint,
        }

    def _weights_fingerprint(self) -> str:
        """The fingerprint of the weights and of the adapters that are active now, computed once for each of these."""
        adapters = active_adapters(self.model)
        if adapters not in self._fingerprints:
            self._fingerprints[adapters] = weights_fingerprint(self.model)
        return self._fingerprints[adapters]

    @cached_property
    def embedding_rms(self) -> float:
        """Root mean square of the input embeddings, the unit of learning rates."""
        embeddings = self.model.get_input_embeddings()
        total = 0.0
        with torch.no_grad():
            for ids in torch.arange(len(embeddings.weight), device=self.device).split(8192):
                # through the module: some models scale inside it
                total += float(embeddings(ids).float().square().mean(-1).sum())
        return float((total / len(embeddings.weight)) ** 0.5)

    def frozen(self) -> AbstractContextManager[None]:
        """Freeze the model in evaluation mode for a `with` block; restore every flag afterwards."""
        return self._forward.frozen()

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

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids, shape (*ids, width), without gradient, in the model's precision."""
        return self._forward.embed(ids)

    def lm_head_rows(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight vectors of the output embedding for token ids, shape (*ids, state width), and biases, shape ids.

        In float32 on the CPU, without gradient; the biases are None for an output embedding without any.
        """
        return self._forward.head.weights_of(ids)

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

    @property
    def layers(self) -> Layers:
        """The layers at which soft vectors can enter, of a seq2seq model its encoder's.

        Raises:
            BackboneError: the model has no layers between which hidden states alone pass on the text.
        """
        return self._forward.layers

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
    def window(self) -> int:
        """The length up to which every layer sees all earlier positions."""
        config = self.model.config.get_text_config().to_dict()
        # not how many layers have one (max_window_layers), nor which (sliding_window_pattern)
        windows = [value for name, value in config.items() if name.endswith(("window", "window_size", "chunk_size"))]
        return min([self.max_length, *(size for size in windows if isinstance(size, int) and size > 1)])

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


def _validate_types(model: object, tokenizer: object, name: object) -> None:
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise BackboneError(f"model={quoted(model)}: expected a transformers model")
    validate_tokenizer(tokenizer)
    if not isinstance(name, str) or not name:
        raise BackboneError(f"name={quoted(name)}: expected the name that saved prompts refer to")
