"""The language-modelling head, run at some positions and for some words of the vocabulary only."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from softcloze.backbone.locking import lock_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

StatesOf: TypeAlias = Literal["head", "last layer", "encoder"]
"""Hidden states: inputs of the output embedding, inputs of the last layer, or the last ones of a seq2seq encoder."""


class Outputs(NamedTuple):
    """Logits and hidden states of a model at some positions.

    Attributes:
        logits: raw scores before any softmax in the model's precision, shape (positions, words or vocab).
        states: hidden states in float32, shape (state positions, state width); see `StatesOf`.
    """

    logits: Tensor
    states: Tensor


class HeadPart(NamedTuple):
    """The part of a model's head that is run.

    Attributes:
        vocab_ids: vocabulary ids to score, shape (words,); all of them if None.
        cut: whether the output embedding, a plain linear layer, is cut to the weights of `vocab_ids`; if not, all
            logits are computed and those of `vocab_ids` are kept.
        start: the module from which on only the wanted positions are computed; the output embedding if None.
        feed_forward: the block of the last layer that is computed at the wanted positions only, where more modules
            follow that take all positions; None to compute it at all of them.
    """

    vocab_ids: Tensor | None = None
    cut: bool = False
    start: nn.Module | None = None
    feed_forward: nn.Module | None = None


WHOLE_HEAD = HeadPart()


class LMHead:
    """The language-modelling head of a model."""

    def __init__(self, model: "PreTrainedModel"):
        """Take the head of `model`."""
        self._model = model

    def outputs(
        self,
        inputs: dict[str, Any],
        sequences: Tensor,
        positions: Tensor,
        part: HeadPart = WHOLE_HEAD,
        scored: int | None = None,
    ) -> Outputs:
        """Run the model, and its head at some positions only.

        The hook sits on the output embedding itself and not on the base model: this needs no knowledge of how an
        architecture nests its decoder. The modules in front of it, such as BERT's dense layer, see these positions
        only as well.

        Args:
            inputs: arguments of the model.
            sequences: for each result the index of its sequence in `inputs`, shape (positions,).
            positions: for each its position in that sequence, shape (positions,).
            part: the part of the head to run.
            scored: number of these positions, from the first on, that have logits; of the others the states are
                returned. All if None.
        """
        states = torch.empty(0)
        sequences, positions = sequences.to(self._model.device), positions.to(self._model.device)
        embedding = self._model.get_output_embeddings()
        first = part.start if part.start is not None else embedding
        vocab_ids = part.vocab_ids.to(self._model.device) if part.vocab_ids is not None else None
        caller = get_ident()  # other threads that run the model meanwhile are not concerned

        def at_positions(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            # of one sequence, for some modules take no tensor of two dimensions
            return tuple(hidden[sequences, positions][None] for hidden in args) if get_ident() == caller else None

        def keep(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
            nonlocal states
            if get_ident() != caller:
                return None
            (states,) = args
            return (states[:0] if part.cut else states[:, :scored],)  # without a state the vocabulary costs nothing

        def cut(module: nn.Linear, _: tuple[Tensor], output: Tensor) -> Tensor:
            if get_ident() != caller:
                return output
            bias = module.bias[vocab_ids] if module.bias is not None else None
            return linear(states[:, :scored], module.weight[vocab_ids], bias)

        with lock_of(self._model), _at_positions(part.feed_forward, sequences, positions):
            # in this order, for both may sit on the output embedding
            hooks = [first.register_forward_pre_hook(at_positions), embedding.register_forward_pre_hook(keep)]
            if part.cut:
                hooks.append(embedding.register_forward_hook(cut))
            try:
                logits = self._model(**inputs, return_dict=True).logits
            finally:
                for hook in hooks:
                    hook.remove()
        if vocab_ids is not None and not part.cut:
            logits = logits[..., vocab_ids]
        return Outputs(logits[0], states[0, len(sequences) if scored is None else scored :].float())

    def weights_of(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight vectors and biases of the output embedding for token ids: see `Backbone.lm_head_rows`."""
        embedding = self._model.get_output_embeddings()
        ids = ids.to(self._model.device)
        bias = embedding.bias[ids].detach().float().cpu() if embedding.bias is not None else None
        return embedding.weight[ids].detach().float().cpu(), bias


@contextmanager
def _at_positions(block: nn.Module | None, sequences: Tensor, positions: Tensor) -> Iterator[None]:
    """Run a block that computes each position by itself at some positions only; its other outputs are zeros.

    Args:
        block: the module; None changes nothing.
        sequences: for each position the index of its sequence, shape (positions,).
        positions: indices in the sequences; the same one may come twice.
    """
    if block is None:
        yield
        return
    caller = get_ident()
    shape, chosen = torch.Size(), torch.empty(0)

    def narrow(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        nonlocal shape, chosen
        if get_ident() != caller or not args:
            return None
        shape = args[0].shape
        # without any, one: not all kinds of weights take a tensor without rows
        chosen = (sequences * shape[1] + positions).unique() if len(sequences) else sequences.new_zeros(1)
        return tuple(hidden.flatten(0, 1)[chosen][None] for hidden in args)

    def widen(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if get_ident() != caller or not args:
            return output
        zeros = output.new_zeros(shape[0] * shape[1], output.shape[-1])
        return zeros.index_copy(0, chosen, output[0]).view(*shape[:2], -1)

    hooks = [block.register_forward_pre_hook(narrow), block.register_forward_hook(widen)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
