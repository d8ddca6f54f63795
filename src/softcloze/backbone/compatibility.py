"""What a model has to do for softcloze, tried when it is taken.

Architectures differ in more than their configurations say: some embed token ids a second time, which vectors are not,
some heads multiply by hand, and some models see the padding behind a row. Read all the same, such a model would give
wrong scores without a word.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softcloze.backbone.family import Family
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# what models raise that miss token ids, or are given vectors that are no token's
MISSING = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def check_compatible(
    model: "PreTrainedModel",
    family: Family,
    ids: Sequence[int],
    inputs: Callable[[Sequence[Sequence[int]], Tensor], dict[str, Any]],
) -> None:
    """Refuse a masked or causal model that does not read vectors among words as it reads words, each row by itself.

    Args:
        model: held still.
        family: "masked" or "causal".
        ids: four ordinary tokens.
        inputs: what the model is given for rows of ids, among which -1 stands for a vector, shape (1, width).

    Raises:
        BackboneError: it cannot be given vectors, makes something else of embeddings than of token ids, its head does
            not run its output embedding on each word, it sees padding, or it is to be causal and sees what stands
            behind a word.
    """
    a, b, c, d = ids
    read: list[torch.Size] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, args: read.append(args[0].shape[:-1]))
    try:
        # of one shape where they are compared: half precision rounds another way in another
        rows = [[a, b, *[c] * 6], [a, b, *[d] * 6]]
        vector = model.get_input_embeddings()(torch.tensor([a, b], device=model.device)).mean(0, keepdim=True)
        by_ids = model(input_ids=torch.tensor(rows, device=model.device)).logits
        found = model(**inputs(rows, vector)).logits
        padded = model(**inputs([[a, b], [*rows[0], -1]], vector)).logits[0, :2]
        alone = model(**inputs([[a, b]], vector)).logits
    except MISSING as error:
        raise _does_not_run(model, error) from error
    finally:
        hook.remove()
    if not read or read[-1] != alone.shape[:2]:
        raise BackboneError(
            f"the head of {_kind(model)} does not run its output embedding on one state for each word, and softcloze "
            "reads there what the head is given; take another model, such as BERT or GPT-2"
        )
    if not scores_close(found, by_ids, model.dtype):
        raise _scores_differ(model)
    if family == "causal":
        if not scores_close(found[0, :2], found[1, :2], model.dtype):
            raise BackboneError(
                f"{_kind(model)} is no causal model as it is configured: it sees what stands behind a word; "
                "where it can be either, set is_decoder=True in its configuration"
            )
    elif not scores_close(padded, alone[0], model.dtype):
        raise _sees_padding(model)


def check_encoding(
    model: "PreTrainedModel",
    start: int,
    ids: Sequence[int],
    logits: Callable[[Sequence[Sequence[int]], Sequence[tuple[int, ...]]], Tensor],
) -> None:
    """Refuse a seq2seq model whose encoder does not read embeddings as it reads words, each row by itself.

    Args:
        model: held still.
        start: the token with which its decoder begins.
        ids: four ordinary tokens.
        logits: what the model says at each place of rows for the decoder, by rows for the encoder.

    Raises:
        BackboneError: it cannot be given embeddings, makes something else of them than of token ids, or sees padding.
    """
    a, b, c, d = ids
    text, answer = [a, b, c, c, c, c], [start, d, d, d]
    source, decoder = (torch.tensor([row], device=model.device) for row in (text, answer))
    try:
        by_ids = model(input_ids=source, decoder_input_ids=decoder).logits
        found = logits([answer], [tuple(text)])
        padded, _ = logits([answer, answer], [(a, b), tuple(text)])
        alone = logits([answer], [(a, b)])
    except MISSING as error:
        raise _does_not_run(model, error) from error
    if not scores_close(found, by_ids, model.dtype):
        raise _scores_differ(model)
    if not scores_close(padded, alone[0], model.dtype):
        raise _sees_padding(model)


def _kind(model: "PreTrainedModel") -> str:
    return type(model).__name__


def _does_not_run(model: "PreTrainedModel", error: Exception) -> BackboneError:
    return BackboneError(
        f"{_kind(model)} does not run as softcloze runs it, with vectors among its words: "
        f"{type(error).__name__}: {error}"
    )


def _scores_differ(model: "PreTrainedModel") -> BackboneError:
    # Pegasus multiplies what it looks up, and not what it is given
    return BackboneError(
        f"{_kind(model)} gives other scores for the embeddings of tokens, with a mask, than for their ids, so that "
        "soft vectors would not fit among them; take another model"
    )


def _sees_padding(model: "PreTrainedModel") -> BackboneError:
    return BackboneError(
        f"{_kind(model)} sees the padding behind a row, so that scores would depend on what else is in a batch; "
        "take another model"
    )


def scores_close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether scores agree as far as a precision lets them: up to a thousandth, in half precision what rounding makes.

    What all scores of a place have in common makes no difference to probabilities, and none here.

    Args:
        found: shape (..., words).
        expected: likewise.
        dtype: what the model counts in.

    >>> found, expected = torch.tensor([5.0, 7.03]), torch.tensor([1.0, 3.0])
    >>> scores_close(found, expected, torch.bfloat16), scores_close(found, expected, torch.float32)
    (True, False)
    >>> scores_close(torch.ones(2), torch.ones(3), torch.float32)
    False
    """
    if found.shape != expected.shape:
        return False
    # in bfloat16 0.03: rounding in another order made 0.02 (SmolLM2), rows that see each other 0.09 to 0.4, wrong
    # positions 0.17 to 0.4, and 0.02 for Gemma, which is not told from rounding there
    allowed = max(1e-3, 4 * torch.finfo(dtype).eps)
    found, expected = (scores.float() - scores.float().mean(-1, keepdim=True) for scores in (found, expected))
    return bool((found - expected).norm() <= allowed * expected.norm())
