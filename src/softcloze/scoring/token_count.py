"""The tokens that a model computes for prompts: what scoring them costs, without a clock."""

from collections.abc import Sequence
from itertools import pairwise

from softcloze.backbone import shared_prefix
from softcloze.scoring.shared_prefix import Member, with_slots_from


def count_tokens(members: Sequence[Member]) -> int:
    """Count the tokens that the model computes for all prompts of several members together.

    Tokens with which several sequences of a causal model begin count once, as `score_together` computes them, and so
    does a sequence that several members read, and the text of an encoder; also where they share fewer tokens than are
    worth a pass of their own. Padding does not count, nor do further passes of a plan that decodes words one token at a
    time.

    Args:
        members: with the same backbone.
    """
    sequences: set[tuple[int, ...]] = set()
    decoded: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    first_slot = 0
    for member in members:
        for prompt in member.prompts:
            for model_input in member.scorer.model_inputs(with_slots_from(first_slot, prompt)):
                if model_input.source:
                    sequences.add(model_input.source)
                    decoded.add((model_input.source, model_input.ids))
                else:
                    sequences.add(model_input.ids)
        first_slot += len(member.soft) if member.soft is not None else 0
    tokens = sum(map(len, sequences)) + sum(len(ids) for _, ids in decoded)
    if members and members[0].scorer.backbone.supports_prefix_cache:
        # in order, what a sequence shares with any other before it, it shares with the one before it
        tokens -= sum(shared_prefix(pair) for pair in pairwise(sorted(sequences)))
    return tokens
