"""What a model would say at the mask: the log-probabilities of the whole vocabulary there."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.queries import CausalPlan, MaskedPlan


def log_probabilities(
    backbone: Backbone, prompt: EncodedPrompt, words: Sequence[tuple[int, ...]] = (), soft: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities at the mask of one prompt, without gradient.

    The vocabulary is read at one mask token in the mask's place, also where it is <mask*2>; of a causal model, it is
    what comes after the text before the mask, whatever stands behind it.

    Args:
        backbone: the model, frozen.
        prompt: an encoded prompt.
        words: token ids of words to score as well, of any length.
        soft: the soft vectors, shape (soft, width), or None where the template has none.

    Returns:
        Nats in float64 on the CPU: of each word, shape (words,), and of the whole vocabulary, shape (vocab,).

    Raises:
        EncodingError: nothing stands before the mask of a causal model.
    """
    mask_id = backbone.vocabulary.mask_id
    # whatever the words are, the place of this one is where the vocabulary is read
    read = (*words, (0,))
    plan: MaskedPlan | CausalPlan
    if mask_id is not None:
        plan = MaskedPlan(read, mask_id)
    else:
        plan = CausalPlan(read, has_right=False)
        types = prompt.types[: len(prompt.left) + 1] if prompt.types is not None else None
        prompt = replace(prompt, right=(), types=types)
    found = torch.zeros(len(read), dtype=torch.float64)
    vocabulary = torch.empty(0)
    with torch.inference_mode():
        for query in plan.queries(prompt):
            places = sorted({factor.position for factor in query.reads})
            logits = backbone.logits([query.ids], torch.tensor([places]), types=[query.types], soft=soft)
            logs = logits[0].cpu().double().log_softmax(-1)
            for factor in query.reads:
                at_place = logs[places.index(factor.position)]
                found[factor.word] += at_place[factor.token]
                if factor.word == len(words):
                    vocabulary = at_place
    return found[:-1], vocabulary
