"""The vectors of soft slots, those that are trained and those that are not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from softcloze.backbone import FieldNetwork, LayerVectors, PrefixCache, SoftInputs
from softcloze.encoding import CompiledBlock
from softcloze.errors import ParameterError
from softcloze.soft.encoder import Encoder
from softcloze.soft.field_networks import initial_networks, root_mean_square, validate_networks
from softcloze.soft.shared_block import SharedBlock


class SoftVectors(nn.Module):
    """The vectors of soft slots, in float32: input embeddings, and those that enter at later layers.

    A block that does not enter at layer 0 keeps the input embeddings that it starts with, and a block with train=no all
    its vectors.

    Attributes:
        weight: the input embeddings of all blocks in order, shape (soft, width).
        deep: the vectors at later layers in units of `scale`, by layer and within it in order of the blocks, shape
            (vectors, layer width); None if no block enters at a later layer.
        scale: the unit of each of them, shape (vectors, 1), so that one learning rate fits all layers; 1 for a block
            with train=no.
        networks: the layers of the network of each block with from=, as "key/down" and "key/up"; none before
            `start_networks`, where nothing depends on a field yet.
        state_units: the unit of mean states, by field, from `start_networks`.
        encoders: the network of each block with via= between `reparameterize` and `fold`.
        units: the unit of learning rates at each later layer, by index of the layer.
        blocks: the soft blocks of the template, with the rows of `weight` that belong to each.
        prefixes: block key -> keys and values that a block in front has in place of vectors; they cannot be trained.
        shared: the block that is shared with other tasks between `share` and `fold`.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691; at any position of the template as in P-tuning
        (Liu et al. 2021, arXiv:2103.10385). At later layers, added to the hidden states: Qin and Eisner, NAACL 2021,
        arXiv:2104.06599, section 3.5; in their place: VPT-deep of Jia et al., ECCV 2022, arXiv:2203.12119. P-tuning v2
        (Liu et al., ACL 2022, arXiv:2110.07602) has keys and values instead, and slots in front only.
    """

    scale: Tensor

    def __init__(
        self,
        blocks: Sequence[CompiledBlock],
        weight: Tensor,
        deep: Mapping[str, Tensor] | None = None,
        networks: Mapping[str, Tensor] | None = None,
    ):
        """Wrap initial vectors.

        Args:
            blocks: the soft blocks of the compiled template.
            weight: initial input embeddings, shape (soft, width).
            deep: block key -> initial vectors at later layers, shape (layers, count, layer width), for blocks that
                enter at later layers; without any, nothing enters there.
            networks: the layers of networks, as the attribute.
        """
        super().__init__()
        self.blocks = tuple(blocks)
        self.prefixes: dict[str, PrefixCache] = {}
        self.weight = nn.Parameter(weight.detach().to(torch.float32).clone())
        self.encoders = nn.ModuleList()
        self._encoded: list[CompiledBlock] = []
        self.shared: SharedBlock | None = None
        networks = networks if networks is not None else {}
        self.networks = nn.ParameterDict(
            {name: nn.Parameter(layer.detach().to(torch.float32).clone()) for name, layer in networks.items()}
        )
        self.state_units: dict[str, float] = {}
        deep = deep if deep is not None else {}
        # index of the layer -> the blocks that enter there
        self._entries: dict[int, list[CompiledBlock]] = {}
        pieces: dict[tuple[int, str], Tensor] = {}
        for block in self.blocks:
            if block.key in deep:
                first = max(1, block.layers.first)
                for layer, vectors in enumerate(deep[block.key], start=first):
                    self._entries.setdefault(layer, []).append(block)
                    pieces[layer, block.key] = vectors.detach().to(torch.float32)
        self._entries = dict(sorted(self._entries.items()))
        ordered = [pieces[layer, block.key] for layer, entering in self._entries.items() for block in entering]
        self.deep = nn.Parameter(torch.cat(ordered)) if ordered else None
        self.units = dict.fromkeys(self._entries, 1.0)
        self.register_buffer("scale", torch.ones(len(self.deep) if self.deep is not None else 0, 1), persistent=False)

    @property
    def trains_embeddings(self) -> bool:
        """True if the input embeddings of a block are trained: one that enters at layer 0, without train=no."""
        return any(block.train and block.layers.first == 0 for block in self.blocks)

    @property
    def first_layer(self) -> int:
        """Index of the first layer at which more than constant input embeddings enters.

        Below it a forward pass is constant.
        """
        return 0 if self.trains_embeddings else next(iter(self._entries), 0)

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters to train, by name; none if all blocks have train=no."""
        embeddings = {"soft": self.weight} if self.trains_embeddings else {}
        networks = {f"via/{name}": weight for name, weight in self.encoders.named_parameters()}
        networks |= {f"from/{name}": layer for name, layer in self.networks.items()}
        if self.shared is not None:
            networks |= {f"shared/{name}": weight for name, weight in self.shared.named_parameters()}
        trains_deep = any(block.train for blocks in self._entries.values() for block in blocks)
        return embeddings | networks | ({"deep": self.deep} if self.deep is not None and trains_deep else {})

    def reparameterize(self, width: int, unit: float, seed: int) -> None:
        """Make the input embeddings of blocks with via= the outputs of networks, without a change of what they are.

        Args:
            width: of the networks' hidden layers.
            unit: the root mean square of input embeddings.
            seed: seed of the networks' weights.
        """
        generator = torch.Generator().manual_seed(seed)
        self._encoded = [block for block in self.blocks if block.via is not None and block.layers.first == 0]
        self.encoders = nn.ModuleList(
            Encoder(block.via, self.weight.shape[1], width, unit, generator)
            for block in self._encoded
            if block.via is not None
        ).to(self.weight.device)

    def share(self, block: SharedBlock) -> None:
        """Take the input embeddings of a block from one that is shared with other tasks."""
        self.shared = block

    @property
    def state_fields(self) -> tuple[str, ...]:
        """The fields on whose states blocks depend."""
        names = (block.from_ for block in self.blocks if block.from_by == "states")
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def start_networks(self, width: int, unit: float, seed: int, states: Mapping[str, Tensor] | None = None) -> None:
        """Make networks for the blocks with from= that have none, without a change of what enters.

        Args:
            width: of the bottleneck.
            unit: the root mean square of input embeddings.
            seed: seed of the first layers; the second ones are zero.
            states: for each of `state_fields` the mean states of its texts, shape (texts, state width), whose root mean
                square is their unit.
        """
        states = states if states is not None else {}
        self.state_units = {name: root_mean_square(of_field) for name, of_field in states.items()}
        embedding_width = self.weight.shape[1]
        layers = initial_networks(
            [block for block in self.blocks if f"{block.key}/down" not in self.networks],
            width,
            embedding_width=embedding_width,
            deep_width=self.deep.shape[1] if self.deep is not None else embedding_width,
            unit=unit,
            seed=seed,
            states=states,
        )
        self.networks.update({name: nn.Parameter(layer) for name, layer in layers.items()})
        self.networks.to(self.weight.device)

    def folded(self) -> Tensor:
        """The input embeddings, shape (soft, width), differentiable: `weight`, outputs of networks, a shared block."""
        embeddings: Tensor = self.weight
        for block, encoder in zip(self._encoded, self.encoders, strict=True):
            index = torch.tensor(block.rows, device=embeddings.device)
            embeddings = embeddings.index_copy(0, index, encoder(self.weight[index]))
        if self.shared is not None:
            index = torch.tensor(self._shared_rows, device=embeddings.device)
            embeddings = embeddings.index_copy(0, index, self.shared())
        return embeddings

    @property
    def _shared_rows(self) -> list[int]:
        """Rows of the shared block; none without one."""
        return [
            row
            for block in self.blocks
            if self.shared is not None and block.key == self.shared.key
            for row in block.rows
        ]

    def fold(self, embeddings: Tensor | None = None) -> None:
        """Keep input embeddings as they are, or these, and drop the networks and the shared block that made them."""
        with torch.no_grad():
            self.weight.copy_(self.folded() if embeddings is None else embeddings)
        self._encoded, self.encoders, self.shared = [], nn.ModuleList(), None

    def inputs(self) -> SoftInputs:
        """The vectors for a forward pass, differentiable."""
        fixed = [row for block in self.blocks if block.layers.first > 0 or not block.train for row in block.rows]
        # with all fixed nothing below the first layer with a vector has a gradient
        embeddings = _without_gradient(self.folded(), fixed)
        prefixes = {block.start: self.prefixes[block.key] for block in self.blocks if block.key in self.prefixes}
        networks = tuple(
            FieldNetwork(
                block.from_,
                block.rows,
                self.networks[f"{block.key}/down"],
                self.networks[f"{block.key}/up"],
                block.from_by == "states",
                block.layers.first,
            )
            for block in self.blocks
            if block.from_ is not None and f"{block.key}/up" in self.networks
        )
        late = tuple(network for network in networks if network.layer)
        networks = tuple(network for network in networks if not network.layer)
        return SoftInputs(embeddings, dict(self._layers()), prefixes=prefixes, networks=networks, late=late)

    def _layers(self) -> Iterator[tuple[int, LayerVectors]]:
        """The vectors that enter at each later layer, by its index."""
        if self.deep is None:
            return
        sizes = [sum(block.count for block in blocks) for blocks in self._entries.values()]
        entering = [block for blocks in self._entries.values() for block in blocks]
        trains = [block.train for block in entering for _ in block.rows]
        fixed = [i for i, trained in enumerate(trains) if not trained]
        parts = _without_gradient(self.deep * self.scale, fixed).split(sizes)
        for (layer, blocks), vectors in zip(self._entries.items(), parts, strict=True):
            if len(vectors) < len(self.weight):
                rows = torch.tensor([row for block in blocks for row in block.rows], device=vectors.device)
                vectors = vectors.new_zeros(len(self.weight), vectors.shape[1]).index_copy(0, rows, vectors)
            replacing = [row for block in blocks if block.mode == "replace" for row in block.rows]
            replaces = None
            if replacing:
                replaces = torch.zeros(len(self.weight), dtype=torch.bool, device=vectors.device)
                replaces[replacing] = True
            yield layer, LayerVectors(vectors, replaces)

    def rescale(self, units: Tensor) -> None:
        """Count the vectors at later layers in other units, without a change of what enters.

        Args:
            units: the unit of each layer of the model, shape (layers,).
        """
        if self.deep is None:
            return
        of_entries = [
            units[layer] if block.train else torch.ones_like(units[layer])
            for layer, blocks in self._entries.items()
            for block in blocks
            for _ in block.rows
        ]
        scale = torch.stack(of_entries)[:, None].to(self.scale)
        self.deep.data.mul_(self.scale / scale)
        self.scale = scale
        self.units = {layer: float(units[layer]) for layer in self._entries}

    @property
    def depth(self) -> int:
        """Number of later layers at which trained vectors enter."""
        return sum(any(block.train for block in blocks) for blocks in self._entries.values())

    def by_block(self) -> dict[str, Tensor]:
        """Input embeddings by block key, each of shape (count, width), detached and on the CPU."""
        weight = self.weight.detach().cpu()
        return {block.key: weight[block.start : block.start + block.count].contiguous() for block in self.blocks}

    def deep_by_block(self) -> dict[str, Tensor]:
        """Vectors at later layers by block key, each of shape (layers, count, layer width), detached and on the CPU."""
        layers: dict[str, list[Tensor]] = {}
        rest = (self.deep.detach() * self.scale).cpu() if self.deep is not None else torch.empty(0)
        for blocks in self._entries.values():
            for block in blocks:
                layers.setdefault(block.key, []).append(rest[: block.count])
                rest = rest[block.count :]
        return {block.key: torch.stack(layers[block.key]) for block in self.blocks if block.key in layers}

    def field_networks(self) -> dict[str, Tensor]:
        """The layers of the networks of blocks with from=, as the attribute, detached and on the CPU."""
        return {name: layer.detach().cpu().contiguous() for name, layer in self.networks.items()}

    @classmethod
    def from_blocks(
        cls,
        blocks: Sequence[CompiledBlock],
        vectors: Mapping[str, Tensor],
        deep: Mapping[str, Tensor] | None = None,
        networks: Mapping[str, Tensor] | None = None,
    ) -> Self:
        """Make soft vectors from those of each block, as `by_block`, `deep_by_block` and `field_networks` return them.

        Raises:
            ParameterError: a block is missing, is not in the template, or has another length, other layers or no
                network.
        """
        expected = {block.key: block.count for block in blocks}
        lengths = {key: len(tensor) for key, tensor in vectors.items()}
        if expected != lengths:
            raise ParameterError(f"the template has soft blocks of lengths {expected}, the vectors are for {lengths}")
        deep = deep if deep is not None else {}
        for block in blocks:
            known = tuple(deep[block.key].shape[:2]) if block.key in deep else (0, block.count)
            last = block.layers.last
            layers = known[0] if last is None else len(block.layers.later(last + 1))
            if known != (layers, block.count) or (last is None and not layers):
                raise ParameterError(
                    f"soft block {block.key!r} has {block.count} vectors at layers {block.layers}, and the vectors at "
                    f"later layers have the shape {known}"
                )
        weight = torch.cat([vectors[block.key] for block in blocks])
        networks = networks if networks is not None else {}
        validate_networks(blocks, networks.keys())
        return cls(blocks, weight, deep, networks)

    def validate_gradient(self) -> None:
        """Raise ParameterError if a vector to train has no gradient, so that its slot cannot be trained.

        Raises:
            ParameterError: the scores do not depend on a slot; names it and its block.
        """
        reached = (
            _nonzero(self.weight.grad, len(self.weight)) if self.trains_embeddings else _nonzero(None, len(self.weight))
        )
        if self.shared is not None:
            reached[self._shared_rows] = _nonzero(self.shared.vectors.grad, len(self.shared.vectors))
        if self.deep is not None:
            deep = _nonzero(self.deep.grad, len(self.deep))
            for blocks in self._entries.values():
                for block in blocks:
                    reached[list(block.rows)] |= deep[: block.count]
                    deep = deep[block.count :]
        for block in self.blocks:
            if not block.train:
                continue
            missing = [row - block.start for row in block.rows if not reached[row]]
            if missing:
                raise ParameterError(
                    f"vectors {missing} of soft block {block.key!r} get no gradient: nothing that is scored "
                    "depends on them. In a causal model a soft slot has to be before the mask, or before some "
                    "text after the mask"
                )


def _without_gradient(vectors: Tensor, rows: list[int]) -> Tensor:
    """The vectors, of which some rows are constant."""
    if not rows:
        return vectors
    if len(rows) == len(vectors):
        return vectors.detach()
    index = torch.tensor(rows, device=vectors.device)
    return vectors.index_copy(0, index, vectors.detach()[index])


def _nonzero(gradient: Tensor | None, count: int) -> Tensor:
    """Mask of the `count` vectors that have a gradient other than 0, shape (count,)."""
    if gradient is None:
        return torch.zeros(count, dtype=torch.bool)
    return (gradient != 0).any(-1).cpu()
