"""A pretrained language model with its tokenizer: checks when it is wrapped, identity, widths and sizes."""

import math
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from softcloze.backbone.batching import MAX_BATCH_TOKENS, tokens_per_batch
from softcloze.backbone.compatibility import validate_adapter, validate_embeddings, validate_encoder
from softcloze.backbone.family import AUTO, family_of, longest_prompt
from softcloze.backbone.fingerprint import active_adapters, weights_fingerprint
from softcloze.backbone.forward import ForwardPass
from softcloze.backbone.layers import Layers
from softcloze.backbone.lm_head import StatesOf
from softcloze.backbone.quantisation import NONE, keep_unpacked, quantisation_of, shape_of
from softcloze.backbone.seq2seq import decoder_start
from softcloze.backbone.sharing import SharedByCopies
from softcloze.backbone.weights import validate_finite, validate_vocabulary
from softcloze.encoding import PretrainedTokenizer, PromptTokenizer
from softcloze.encoding.tokenizer import validate_tokenizer
from softcloze.errors import BackboneError
from softcloze.formatting import quoted

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FrozenModel(SharedByCopies):
    """A pretrained language model, frozen while it runs, with its tokenizer and the facts about both.

    `Backbone` adds the forward passes, and documents the attributes.
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
        self.uses_token_types = self._forward.inputs.uses_token_types
        # keys and values of prefix tuning take positions as well
        virtual = getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", 0)
        self.max_length = longest_prompt(model.config, tokenizer, self._forward.inputs.first_position + virtual)
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

    def __repr__(self) -> str:
        """Name, family and size."""
        return f"{type(self).__name__}({self.name!r}, family={self.family!r}, parameters={self.parameters:,})"

    def frozen(self) -> AbstractContextManager[None]:
        """Freeze the model in evaluation mode for a `with` block; restore every flag afterwards."""
        return self._forward.frozen()

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
    def stack(self) -> nn.Module:
        """The model without its head, of a seq2seq model the encoder."""
        return self._forward.stack

    @property
    def layers(self) -> Layers:
        """The layers at which soft vectors can enter, of a seq2seq model its encoder's.

        Raises:
            BackboneError: the model has no layers between which hidden states alone pass on the text.
        """
        return self._forward.layers

    @property
    def decoder_start(self) -> int | None:
        """The token with which the decoder of a seq2seq model begins; None for other families."""
        return decoder_start(self.model) if self.family == "seq2seq" else None

    @property
    def attention(self) -> str:
        """The attention implementation that runs here: the model's own, or "softcloze" instead of "sdpa"."""
        return self._forward.attention

    @property
    def width(self) -> int:
        """Width of an input embedding."""
        return int(self.model.get_input_embeddings().weight.shape[-1])

    @property
    def state_width(self) -> int:
        """Width of a hidden state that the output embedding takes."""
        return int(self.model.get_output_embeddings().weight.shape[-1])

    @cached_property
    def mean_state_width(self) -> int:
        """Width of the vectors of `mean_states_of_ids`, which may differ from `state_width`."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        with self.frozen(), torch.no_grad():
            return int(self.stack(input_ids=token).last_hidden_state.shape[-1])

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
    def window(self) -> int:
        """The length up to which every layer sees all earlier positions."""
        config = self.model.config.get_text_config().to_dict()
        # not how many layers have one (max_window_layers), nor which (sliding_window_pattern)
        windows = [value for name, value in config.items() if name.endswith(("window", "window_size", "chunk_size"))]
        return min([self.max_length, *(size for size in windows if isinstance(size, int) and size > 1)])

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(shape_of(parameter).numel() for parameter in self.model.parameters())

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

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids, shape (*ids, width), without gradient, in the model's precision."""
        return self._forward.inputs.embed(ids)

    def lm_head_rows(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight vectors of the output embedding for token ids, shape (*ids, state width), and biases, shape ids.

        In float32 on the CPU, without gradient; the biases are None for an output embedding without any.
        """
        return self._forward.head.weights_of(ids)


def _validate_types(model: object, tokenizer: object, name: object) -> None:
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise BackboneError(f"model={quoted(model)}: expected a transformers model")
    validate_tokenizer(tokenizer)
    if not isinstance(name, str) or not name:
        raise BackboneError(f"name={quoted(name)}: expected the name that saved prompts refer to")
