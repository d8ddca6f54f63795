"""The language-modelling head, run at some positions and for some words of the vocabulary only."""

from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from softcloze.backbone.locking import lock_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Outputs(NamedTuple):
    """Logits and hidden states of a model at some positions.

    Attributes:
        logits: raw scores before any softmax in the model's precision, shape (positions, words or vocab).
        states: hidden states in float32, shape (state positions, state width): inputs of the output embedding, or of a
            seq2seq model's encoder its last ones.
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
    """

    vocab_ids: Tensor | None = None
    cut: bool = False
    start: nn.Module | None = None


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

        with lock_of(self._model):
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
