"""Prompts of random tokens, scorers for them, and when two sets of scores are the same."""

import torch

from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring import Scorer
from softcloze.template import Template

FIRST = 5  # ids below are special tokens in some tokenizer

SLOTS = {
    "none": ((), ()),
    "front": ((0, 0, 0), ()),
    "middle": ((4, 4), ()),
    "before mask": ((-1, -1), ()),
    "after mask": ((2,), (1, 1)),
    "all over": ((0, 3, 3, -1), (1,)),
}


def random_prompts(lengths, *, slots=((), ()), right, seed=0):
    """Prompts of random tokens with soft rows put in at places of the left and the right part."""
    dice = torch.Generator().manual_seed(seed)
    prompts = []
    for length in lengths:
        left = torch.randint(FIRST, 200, (length,), generator=dice).tolist()
        behind = torch.randint(FIRST, 200, (4,), generator=dice).tolist() if right else []
        row = 0
        for part, places in ((left, slots[0]), (behind, slots[1])):
            for place in places:
                part.insert(len(part) if place < 0 else min(place, len(part)), -1 - row)
                row += 1
        prompts.append(EncodedPrompt(tuple(left), tuple(behind), {}))
    return prompts


def soft_vectors(backbone, count, seed=0):
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(count, backbone.width, generator=dice) * backbone.embedding_rms


def make_scorer(backbone, words, *, right, lengths=None, decoding="together"):
    source = "a <mask> b" if right else "a <mask>"
    return Scorer(backbone, CompiledTemplate(Template(source), backbone.prompt_tokenizer, 64), words, lengths, decoding)


def assert_same(scores, expected, tolerance=1e-4):
    """Equal up to a constant per prompt."""
    assert scores.shape == expected.shape
    torch.testing.assert_close(scores.log_softmax(-1), expected.log_softmax(-1), atol=tolerance, rtol=1e-5)


def filled_score(backbone, prompt, word, decoding, soft=None):
    """log P of one word of a masked model in nats: plain transformers, called once for each of its tokens."""
    filling = [backbone.prompt_tokenizer.mask_id] * len(word)
    still_masked = list(range(len(word)))
    total = 0.0
    while still_masked:
        logs = logits_at_masks(backbone, prompt, filling, soft).log_softmax(-1)
        found = {k: logs[k, word[k]] for k in still_masked}
        if decoding == "together":
            return sum(found.values())
        k = still_masked[0] if decoding == "left_to_right" else max(found, key=lambda k: found[k].item())
        total += found[k]
        filling[k] = word[k]
        still_masked.remove(k)
    return total


def logits_at_masks(backbone, prompt, filling, soft=None):
    """Plain transformers: all scores where `filling` stands in the mask's place, shape (len(filling), vocab)."""
    at = len(prompt.left)
    embed = backbone.model.get_input_embeddings()
    ids = [*prompt.left, *filling, *prompt.right]
    inputs = {"inputs_embeds": torch.stack([soft[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in ids])[None]}
    if prompt.token_type_ids is not None:
        token_type_ids = [
            *prompt.token_type_ids[:at],
            *[prompt.token_type_ids[at]] * len(filling),
            *prompt.token_type_ids[at + 1 :],
        ]
        inputs["token_type_ids"] = torch.tensor([token_type_ids])
    return backbone.model(**inputs).logits[0, at : at + len(filling)]
