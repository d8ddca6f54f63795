"""What a model would say at the mask: the log-probabilities of the whole vocabulary there."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.families import plan_words, with_state
from softcloze.scoring.plan import ModelInput
from softcloze.verbalizer import Decoding


def log_probabilities(
    backbone: Backbone,
    prompt: EncodedPrompt,
    words: Sequence[tuple[int, ...]] = (),
    soft: Tensor | None = None,
    decoding: Decoding = "together",
) -> tuple[Tensor, Tensor]:
    """Log-probabilities at the one mask of one prompt, without gradient.

    The vocabulary is read at one mask token in the mask's place, also where it is <mask*2>; of a causal model, it is
    what comes after the text before the mask, whatever stands behind it; of a seq2seq model, what its decoder writes
    first in the mask's place.

    Args:
        backbone: the model, frozen.
        prompt: an encoded prompt.
        words: token ids of words to score as well, of any length.
        soft: the soft vectors, shape (soft, width), or None where the template has none.
        decoding: how a masked model fills in words of several tokens: see `Verbalizer`.

    Returns:
        Nats in float64 on the CPU: of each word, shape (words,), and of the whole vocabulary, shape (vocab,).

    Raises:
        EncodingError: nothing stands before the mask of a causal model.
    """
    plan = plan_words(backbone, words, decoding, has_right=False)
    if backbone.family == "causal":
        token_type_ids = prompt.token_type_ids[: len(prompt.left) + 1] if prompt.token_type_ids is not None else None
        prompt = replace(prompt, right=(), token_type_ids=token_type_ids)

    def read_places(query: ModelInput) -> Tensor:
        """Log-probabilities over the vocabulary at the places of a query, shape (places, vocab)."""
        places = torch.tensor([query.places])
        outputs = backbone.outputs(
            [query.ids], places, token_type_ids=[query.token_type_ids], sources=[query.source], soft=soft
        )
        return outputs.logits[0].cpu().double().log_softmax(-1)

    def read(queries: Sequence[Sequence[ModelInput]], cells: int) -> Tensor:
        found = torch.zeros(1, cells, dtype=torch.float64)
        for query in queries[0]:
            logs = read_places(query)
            for one in query.reads:
                found[0, one.cell] += logs[query.places.index(one.position), one.token]
        return found

    with torch.inference_mode():
        scores = plan.scores([prompt], read)[0] if words else torch.empty(0, dtype=torch.float64)
        (vocabulary,) = read_places(*with_state(backbone, [], prompt))
    return scores, vocabulary
