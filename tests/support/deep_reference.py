"""Plain transformers with vectors that enter at later layers: the layers of each architecture are wrapped by name."""

from contextlib import contextmanager

import torch

from support import models

STACKS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "deberta-v2": "deberta.encoder.layer",
    "modernbert": "model.layers",
    "distilbert": "distilbert.transformer.layer",
    "albert": "albert.encoder.albert_layer_groups",
    "gpt2": "transformer.h",
    "llama": "model.layers",
    "qwen3": "model.layers",
    "gemma3_text": "model.layers",
    "t5": "encoder.block",
    "bart": "model.encoder.layers",
}


@contextmanager
def entering(model, architecture, ids, deep):
    """Give each layer its vectors, for one unpadded sequence.

    Args:
        model: the model.
        architecture: its name in `STACKS`.
        ids: the sequence; -1 - r is row r of the vectors.
        deep: index of the layer -> (vectors, shape (soft, width), and the rows among them that replace the state).
    """
    calls = iter(range(99))
    stack = model.get_submodule(STACKS[architecture])
    rows = {position: -1 - token for position, token in enumerate(ids) if token < 0}

    def wrapped(forward):
        def run(states, *args, **kwargs):
            vectors, replaced = deep.get(next(calls), (None, ()))
            if vectors is not None and rows:
                positions = list(states[0])
                for position, row in rows.items():
                    positions[position] = vectors[row] + (0 if row in replaced else positions[position])
                states = torch.stack(positions)[None]
            return forward(states, *args, **kwargs)

        return run

    for layer in stack:
        layer.forward = wrapped(layer.forward)
    try:
        yield
    finally:
        for layer in stack:
            del layer.forward


def source_logits(backbone, architecture, source, decoder, soft, deep):
    """Logits of a seq2seq model for one text, shape (decoder, vocab)."""
    embed = backbone.model.get_encoder().get_input_embeddings()
    scale = getattr(backbone.model.get_encoder(), "embed_scale", 1.0)
    rows = [soft[-1 - i] if i < 0 else embed(torch.tensor(i)) * scale for i in source]
    with entering(backbone.model, architecture, source, deep):
        outputs = backbone.model(inputs_embeds=torch.stack(rows)[None], decoder_input_ids=torch.tensor([list(decoder)]))
    return outputs.logits[0]


def logits(backbone, architecture, ids, soft, deep):
    """Logits of a masked or causal model for one sequence, shape (ids, vocab)."""
    with entering(backbone.model, architecture, ids, deep):
        return models.logits_of(backbone.model, ids, soft)
