"""Compatibility checks and probes: run a model on a few tokens in two ways and compare the scores.

Architectures differ in more than their configurations say. Some embed token ids a second time, some heads multiply by
hand, and some models see padding. Without these checks such a model would give wrong scores silently.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softcloze.backbone.forward import ForwardPass
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.lm_head import WHOLE_HEAD, HeadPart
from softcloze.backbone.packing import MAX_TREE_TOKENS, pack
from softcloze.backbone.precision import non_finite_reason
from softcloze.backbone.soft_inputs import LayerVectors, SoftInputs
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# raised by models that lack token ids, or that are given vectors which belong to no token
UNSUPPORTED = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# names of feed-forward blocks in the architectures of transformers
FEED_FORWARD = ("mlp", "ffn", "feed_forward")


def validate_adapter(model: nn.Module) -> None:
    """Raise BackboneError if a PEFT model puts virtual tokens of its own in front of a sequence.

    Keys and values of prefix tuning move no positions, and LoRA adds no tokens.
    """
    adapter: Any = getattr(model, "active_peft_config", None)
    if adapter is None or not adapter.is_prompt_learning:
        return
    if adapter.peft_type != "PREFIX_TUNING" or adapter.task_type != "CAUSAL_LM":
        raise BackboneError(
            f"{_kind(model)} has a PEFT adapter of type {adapter.peft_type.value}, which puts "
            f"{adapter.num_virtual_tokens} virtual tokens in front of every sequence, and positions would be off by "
            "them; save the adapter and read it with Prompt.from_peft, or take the model without it, "
            "peft_model.get_base_model(), and <soft*N> in the template"
        )


def validate_embeddings(forward: ForwardPass, ids: Sequence[int]) -> None:
    """Raise BackboneError if a masked or causal model scores vectors unlike token ids, or sees padding.

    Also if it does not run its output embedding on each word, or should be causal and sees the words that follow.

    Args:
        forward: a frozen model.
        ids: four ordinary tokens.
    """
    model = forward.model
    a, b, c, d = ids
    shapes: list[torch.Size] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape[:-1]))

    def logits(sequences: Sequence[Sequence[int]]) -> Tensor:
        inputs, _ = forward.inputs.padded(sequences, None, soft, None)
        scores: Tensor = model(**inputs, return_dict=True).logits
        return scores

    try:
        # of one shape where they are compared: in half precision another shape rounds differently
        sequences = [[a, b, *[c] * 6], [a, b, *[d] * 6]]
        vector = model.get_input_embeddings()(torch.tensor([a, b], device=model.device)).mean(0, keepdim=True)
        soft = SoftInputs(vector)
        by_ids = model(input_ids=torch.tensor(sequences, device=model.device), return_dict=True).logits
        by_embeddings = logits(sequences)
        padded = logits([[a, b], [*sequences[0], -1]])[0, :2]
        alone = logits([[a, b]])
    except UNSUPPORTED as error:
        raise _does_not_run(model, error) from error
    finally:
        hook.remove()
    _validate_finite(model, by_ids)
    if not shapes or shapes[-1] != alone.shape[:2]:
        raise BackboneError(
            f"the head of {_kind(model)} does not run its output embedding on one state for each word, and softcloze "
            "takes the hidden states from there; take another model, such as BERT or GPT-2"
        )
    _validate_close(model, by_embeddings, by_ids)
    if forward.family == "causal":
        if not scores_close(by_embeddings[0, :2], by_embeddings[1, :2], model.dtype):
            raise BackboneError(
                f"{_kind(model)} is not causal as it is configured: it sees the words that follow; "
                "where it can be either, set is_decoder=True in its configuration"
            )
    else:
        _validate_padding(model, padded, alone[0])


def validate_encoder(forward: ForwardPass, start: int, ids: Sequence[int]) -> None:
    """Raise BackboneError if the encoder of a seq2seq model scores vectors unlike token ids, or sees padding.

    Args:
        forward: a frozen model.
        start: the token with which its decoder begins.
        ids: four ordinary tokens.
    """
    model = forward.model
    a, b, c, d = ids
    text, answer = (a, b, c, c, c, c), [start, d, d, d]
    source, decoder = (torch.tensor([row], device=model.device) for row in (text, answer))
    positions = list(range(len(answer)))

    def logits(*sources: tuple[int, ...]) -> Tensor:
        answers = [answer] * len(sources)
        logits = forward.padded(answers, [positions] * len(sources), sources=sources).logits
        return logits.view(len(sources), len(positions), -1)

    try:
        by_ids = model(input_ids=source, decoder_input_ids=decoder, return_dict=True).logits
        by_embeddings = logits(text)
        padded, _ = logits((a, b), text)
        alone = logits((a, b))
    except UNSUPPORTED as error:
        raise _does_not_run(model, error) from error
    _validate_finite(model, by_ids)
    _validate_close(model, by_embeddings, by_ids)
    _validate_padding(model, padded, alone[0])


def _kind(model: nn.Module) -> str:
    return type(model).__name__


def _does_not_run(model: "PreTrainedModel", error: Exception) -> BackboneError:
    return BackboneError(
        f"{_kind(model)} does not accept `inputs_embeds` with a padding mask: {type(error).__name__}: {error}"
    )


def _validate_finite(model: "PreTrainedModel", scores: Tensor) -> None:
    if not scores.isfinite().all():
        raise BackboneError(f"{_kind(model)} gives scores that are not finite: {non_finite_reason(model)}")


def _validate_close(model: "PreTrainedModel", by_embeddings: Tensor, by_ids: Tensor) -> None:
    # Pegasus scales the embeddings that it looks up, and not those that it is given
    if not scores_close(by_embeddings, by_ids, model.dtype):
        raise BackboneError(
            f"{_kind(model)} scores the embeddings of tokens, with a mask, differently from their ids, so that "
            "soft vectors would not fit among them; take another model"
        )


def _validate_padding(model: "PreTrainedModel", padded: Tensor, alone: Tensor) -> None:
    if not scores_close(padded, alone, model.dtype):
        raise BackboneError(
            f"{_kind(model)} sees the padding after a sequence, so that scores would depend on what else is in a "
            "batch; take another model"
        )


def prefix_cache_reason(forward: ForwardPass) -> str:
    """Reason why a model has to run whole sequences; empty if it can continue from a key/value cache.

    Probed at run time: some architectures keep other state than keys and values.
    """
    if forward.family != "causal":
        return f"a {forward.family} model computes every word from the words that follow as well"
    if forward.inputs.uses_token_types:
        return "the token types of a prefix are not cached"

    def whole() -> Tensor:
        return forward.padded([[0, 1, 2, 3, 1], [1, 2]], [[4], [1]]).logits

    def split() -> Tensor:
        prefix = PrefixCache.join([forward.prefill([[0, 1, 2]]), forward.prefill([[1]])])
        return forward.padded([[3, 1], [2]], [[1], [0]], prefix=prefix, prefix_index=[0, 1]).logits

    # the shorter prefix has padding in front, which not every model leaves out in counting positions
    difference = _difference(forward, whole, split)
    return f"split in two parts it {difference}" if difference else ""


def can_pack(forward: ForwardPass) -> bool:
    """Return True if scores stay the same when sequences that must not see each other are packed into one.

    For models that take a key/value cache. Probed at run time: some architectures have their own way of counting
    positions or of masking.
    """
    if not forward.inputs.accepts_positions:
        return False
    sequences, positions, prefix_index = [[3, 1], [3, 2, 4], [2]], [[1], [2], [0]], [0, 0, 1]
    with forward.frozen(), torch.no_grad():
        prefix = PrefixCache.join([forward.prefill([[0, 1, 2]]), forward.prefill([[1]])])

    def padded() -> Tensor:
        return forward.padded(sequences, positions, prefix=prefix, prefix_index=prefix_index).logits[None]

    def packed() -> Tensor:
        packing = pack(sequences, prefix_index, MAX_TREE_TOKENS)
        return forward.packed(packing, positions, prefix=prefix).logits[None]

    return not _difference(forward, padded, packed)


def can_skip_layers(forward: ForwardPass, layer: int) -> bool:
    """Return True if scores stay the same when the layers below one are skipped and their result is put in.

    For models with layers at which soft vectors can enter. Probed at run time: layers may pass on more than hidden
    states, such as the position bias of T5.
    """
    vectors = torch.ones(1, forward.model.get_input_embeddings().weight.shape[-1], device=forward.device)
    nothing = LayerVectors(torch.zeros(1, forward.layers.width, device=forward.device))
    soft = SoftInputs(vectors, {layer: nothing})
    sequences, positions = [[0, -1, 2, 3], [3, 1]], [[3, 1], [1]]
    decoder: Sequence[Sequence[int]] = [[0, 1, 2, 3], [0, 1]]

    def scores(taken: SoftInputs) -> Tensor:
        if forward.family == "seq2seq":
            return forward.padded(decoder, positions, sources=[*map(tuple, sequences)], soft=taken).logits[None]
        return forward.padded(sequences, positions, soft=taken).logits[None]

    def skipped() -> Tensor:
        return scores(replace(soft, below=forward.states_below(layer, sequences, [None, None], soft)))

    return not _difference(forward, lambda: scores(soft), skipped)


def can_cut_head(forward: ForwardPass) -> bool:
    """Return True if scores stay the same when the output embedding has the weights of some words only.

    Probed at run time: a head may add a bias of vocabulary size, or use the embeddings elsewhere.
    """
    if type(forward.model.get_output_embeddings()) is not nn.Linear:
        return False
    vocab_ids = torch.tensor([1, 0, 2])
    return not _difference(
        forward,
        lambda: _logits(forward, HeadPart(vocab_ids)),
        lambda: _logits(forward, HeadPart(vocab_ids, cut=True)),
    )


def head_start(forward: ForwardPass) -> nn.Module | None:
    """The module after the last layer's attention in models that are built like BERT; None for others.

    From there on each position is computed by itself. Its inputs are the output of attention and the layer's input.
    Probed at run time, since a model may mix positions later.
    """
    if forward.family != "masked":
        return None
    modules = [module for name, module in forward.model.named_modules() if name.endswith("attention.output")]
    if not modules:
        return None
    start = modules[-1]
    difference = _difference(
        forward, lambda: _logits(forward, WHOLE_HEAD), lambda: _logits(forward, HeadPart(start=start))
    )
    return None if difference else start


def feed_forward(forward: ForwardPass) -> nn.Module | None:
    """The block of a causal model's last layer that computes each position by itself after attention; None for none.

    Its other outputs are not read, for no attention follows. Probed at run time, as `head_start` is.
    """
    modules = dict(forward.model.named_modules())
    blocks = [module for name, module in modules.items() if name.rpartition(".")[2] in FEED_FORWARD]
    if forward.family != "causal" or not blocks:
        return None
    block = blocks[-1]
    difference = _difference(
        forward, lambda: _logits(forward, WHOLE_HEAD), lambda: _logits(forward, HeadPart(feed_forward=block))
    )
    return None if difference else block


def _logits(forward: ForwardPass, part: HeadPart) -> Tensor:
    """Logits at two of four token ids, shape (1, positions, words)."""
    ids = torch.tensor([[0, 1, 2, 3]], device=forward.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if forward.family == "seq2seq":
        inputs["decoder_input_ids"] = ids
    return forward.head.outputs(inputs, torch.tensor([0, 0]), torch.tensor([3, 1]), part).logits[None]


def _difference(forward: ForwardPass, usual: Callable[[], Tensor], other: Callable[[], Tensor]) -> str:
    """The difference between two ways of computing scores, shape (batch, ...); empty if each of the batch agrees."""
    with forward.frozen(), torch.no_grad():
        expected = usual()
        try:
            scores = other()
        except UNSUPPORTED as error:
            return f"raised {type(error).__name__}: {error}"
    same = all(scores_close(*pair, forward.model.dtype) for pair in zip(scores, expected, strict=True))
    return "" if same else "gave other scores"


def scores_close(scores: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Return True if scores agree up to a thousandth, in half precision up to its rounding.

    A constant added to all scores of a position makes no difference, as it makes none to probabilities.

    Args:
        scores: shape (..., words).
        expected: of the same shape; another shape does not agree.
        dtype: the precision of the model.

    >>> scores, expected = torch.tensor([5.0, 7.03]), torch.tensor([1.0, 3.0])
    >>> scores_close(scores, expected, torch.bfloat16), scores_close(scores, expected, torch.float32)
    (True, False)
    >>> scores_close(torch.ones(2), torch.ones(3), torch.float32)
    False
    """
    if scores.shape != expected.shape:
        return False
    # in bfloat16 0.03, between rounding and real differences: docs/measurements/engine.md
    allowed = max(1e-3, 4 * torch.finfo(dtype).eps)
    scores, expected = (values.float() - values.float().mean(-1, keepdim=True) for values in (scores, expected))
    return bool((scores - expected).norm() <= allowed * expected.norm())
