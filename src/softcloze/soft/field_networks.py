"""Networks of soft blocks with from=: their first weights, and the names that saved ones have."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from softcloze.encoding import CompiledBlock
from softcloze.errors import ParameterError
from softcloze.formatting import quoted_list


def initial_networks(
    blocks: Sequence[CompiledBlock],
    width: int,
    *,
    embedding_width: int,
    deep_width: int,
    unit: float,
    seed: int,
    states: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The layers of a network for each block with from=, as "key/down" and "key/up"; their outputs are 0.

    Args:
        blocks: the blocks.
        width: of the bottleneck.
        embedding_width: of input embeddings.
        deep_width: of the vectors at later layers.
        unit: the root mean square of input embeddings.
        seed: seed of the first layers; the second ones are zero.
        states: field -> mean states of its texts, shape (texts, state width), for blocks with from_by=states.
    """
    generator = torch.Generator().manual_seed(seed)
    networks: dict[str, Tensor] = {}
    for block in blocks:
        if block.from_ is None:
            continue
        input_width = output_width = deep_width if block.late else embedding_width
        input_unit = 1.0 if block.late else unit
        if block.from_by == "states":
            input_width, input_unit = states[block.from_].shape[1], root_mean_square(states[block.from_])
        bound = input_width**-0.5 / input_unit
        down = torch.empty(width, input_width).uniform_(-bound, bound, generator=generator)
        networks[f"{block.key}/down"] = down
        networks[f"{block.key}/up"] = torch.zeros(block.count, output_width, width)
    return networks


def validate_networks(blocks: Sequence[CompiledBlock], names: Collection[str]) -> None:
    """Raise ParameterError if layers of networks are given, but not those of all blocks with from= and no others."""
    wanted = {f"{block.key}/{layer}" for block in blocks if block.from_ is not None for layer in ("down", "up")}
    if names and {*names} != wanted:
        raise ParameterError(
            f"the template takes the networks {quoted_list(sorted(wanted))} for its slots with from=, and "
            f"{quoted_list(sorted(names))} are given"
        )


def root_mean_square(states: Tensor) -> float:
    """The root mean square of states, 1 where there are none."""
    return float(states.square().mean().sqrt().clamp(min=1e-6)) if len(states) else 1.0
