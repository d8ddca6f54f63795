"""Hidden states of plain transformers, one example at a time."""

import torch

from support import models


def probed_states_by_transformers(backbone, prompts):
    """The states that a linear layer takes at the mask: of a causal model inputs of its last layer."""
    if backbone.family != "causal":
        return states_by_transformers(backbone, prompts)
    with torch.no_grad():
        rows = [torch.tensor([prompt.left]) for prompt in prompts]
        return torch.stack([models.hidden_states_of(backbone.model, input_ids=row)[-2][0, -1] for row in rows])


def states_by_transformers(backbone, prompts):
    """Input of the output embedding at the mask, one example at a time."""
    seen = []
    hook = backbone.model.get_output_embeddings().register_forward_hook(lambda _, args, __: seen.append(args[0]))
    mask_id = backbone.prompt_tokenizer.mask_id
    try:
        with torch.no_grad():
            for prompt in prompts:
                row = [*prompt.left, mask_id, *prompt.right] if mask_id is not None else list(prompt.left)
                models.logits_of(backbone.model, row)
    finally:
        hook.remove()
    places = [len(prompt.left) - (mask_id is None) for prompt in prompts]
    return torch.stack([state[0, place] for state, place in zip(seen, places, strict=True)])
