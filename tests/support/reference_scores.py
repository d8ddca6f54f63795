"""Prompts of random tokens, scorers for them, and reference scores from plain transformers."""

import torch

from softcloze.backbone import SoftInputs
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring import Member, Scorer, plan_words, score_together
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
    """Make prompts of random tokens with soft vectors at the given positions of the left and the right part."""
    generator = torch.Generator().manual_seed(seed)
    prompts = []
    for length in lengths:
        left = torch.randint(FIRST, 200, (length,), generator=generator).tolist()
        after = torch.randint(FIRST, 200, (4,), generator=generator).tolist() if right else []
        index = 0
        for part, positions in ((left, slots[0]), (after, slots[1])):
            for position in positions:
                part.insert(len(part) if position < 0 else min(position, len(part)), -1 - index)
                index += 1
        prompts.append(EncodedPrompt(tuple(left), tuple(after), {}))
    return prompts


def soft_vectors(backbone, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, backbone.width, generator=generator) * backbone.embedding_rms


def inputs_of(soft):
    """Soft vectors as a forward pass takes them; None if there are none."""
    return SoftInputs(soft) if soft is not None else None


def embeddings_of(inputs):
    """The soft vectors of `inputs_of`."""
    return inputs.embeddings if inputs is not None else None


def make_scorer(backbone, words, *, right, lengths=None, decoding="together"):
    source = "a <mask> b" if right else "a <mask>"
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, 64)
    return word_scorer(backbone, compiled, words, decoding, lengths=lengths)


def word_scorer(backbone, compiled, words, decoding="together", **options):
    return Scorer(backbone, plan_words(backbone, words, decoding, has_right=compiled.has_right), **options)


def score_sets(scorer, prompts, softs):
    """Features of the prompts with each set of soft vectors, scored together."""
    return torch.stack(score_together([Member(scorer, prompts, inputs_of(soft)) for soft in softs]))


def assert_same(scores, expected, tolerance=1e-4):
    """Assert that scores are equal up to a constant per prompt."""
    assert scores.shape == expected.shape
    torch.testing.assert_close(scores.log_softmax(-1), expected.log_softmax(-1), atol=tolerance, rtol=1e-5)


def filled_score(backbone, prompt, word, decoding, soft=None):
    """Return log P of one word under a masked model in nats: plain transformers, called once per token."""
    filling = [backbone.prompt_tokenizer.mask_id] * len(word)
    still_masked = list(range(len(word)))
    total = 0.0
    while still_masked:
        logs = logits_at_masks(backbone, prompt, filling, soft).log_softmax(-1)
        scores = {k: logs[k, word[k]] for k in still_masked}
        if decoding == "together":
            return sum(scores.values())
        k = still_masked[0] if decoding == "left_to_right" else max(scores, key=lambda k: scores[k].item())
        total += scores[k]
        filling[k] = word[k]
        still_masked.remove(k)
    return total


def logits_at_masks(backbone, prompt, filling, soft=None):
    """Return the logits of plain transformers with `filling` at the mask, shape (len(filling), vocab)."""
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
