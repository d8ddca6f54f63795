"""The soft vectors of a saved prompt: their names and shapes in its file, and whether they fit a backbone."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.errors import ArtifactError
from softcloze.prompt.tensors import Shape
from softcloze.template import EMBEDDING, Template

DEEP = "deep/"  # soft vectors at later layers; with a "/", no soft block can have this name
FROM = "from/"  # networks of soft slots with from=


class SoftPrompt(Protocol):
    """A saved prompt with soft vectors; for the attributes see `softcloze.prompt.prompt.Prompt`."""

    @property
    def template(self) -> Template:
        """The template."""

    @property
    def model(self) -> str:
        """The backbone's name."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """The backbone's fingerprint."""

    @property
    def vectors(self) -> Mapping[str, Tensor]:
        """Input embeddings by block."""

    @property
    def deep(self) -> Mapping[str, Tensor]:
        """Vectors at later layers by block."""

    @property
    def networks(self) -> Mapping[str, Tensor]:
        """The layers of networks."""


def soft_tensors(prompt: SoftPrompt) -> dict[str, Tensor]:
    """The tensors of soft slots by their names in the file."""
    return {**prompt.vectors, **with_prefix(DEEP, prompt.deep), **with_prefix(FROM, prompt.networks)}


def soft_shapes(template: Template) -> dict[str, Shape]:
    """The shapes of the tensors of soft slots by their names in the file."""
    expected: dict[str, Shape] = {
        block.key: (block.count if block.count is not None else block.key, "width") for block in template.blocks
    }
    expected |= {
        DEEP + block.key: (
            len(block.layers.later(block.layers.last + 1))
            if block.layers.last is not None
            else f"layers of {block.key}",
            block.count if block.count is not None else block.key,
            "layer width",
        )
        for block in template.blocks
        if block.layers != EMBEDDING
    }
    for block in template.blocks:
        if block.from_ is not None:
            bottleneck, count = f"bottleneck of {block.key}", block.count if block.count is not None else block.key
            by_states = block.from_by == "states"
            width = "layer width" if block.late else "width"
            expected[f"{FROM}{block.key}/down"] = (bottleneck, "width of mean states" if by_states else width)
            expected[f"{FROM}{block.key}/up"] = (count, width, bottleneck)
    return expected


def validate_fingerprint(prompt: SoftPrompt, backbone: Backbone) -> None:
    """Raise ArtifactError if a part of the fingerprint differs; shows both values."""
    weights, expected_weights = backbone.fingerprint["quantisation"], prompt.fingerprint.get("quantisation")
    if weights != expected_weights:
        raise ArtifactError(
            f"this prompt was trained on weights of the form {expected_weights}, and those of {backbone.name} have "
            f"the form {weights}; load the model with the options quantize and dtype as then, or fit again"
        )
    for part, actual in backbone.fingerprint.items():
        if part == "chat_template" and not prompt.template.turns:
            continue  # which is part of the prompt only in chat turns
        expected = prompt.fingerprint.get(part)
        if actual != expected:
            raise ArtifactError(
                f"this prompt belongs to another {part.replace('_', ' ')}\n"
                f"  saved with {prompt.model}: {expected}\n"
                f"  found in {backbone.name}: {actual}\n"
                "load it with the model it was trained on, or fit it again"
            )


def validate_soft_sizes(
    prompt: SoftPrompt, backbone: Backbone, others: Mapping[str, tuple[Tensor, int]] | None = None
) -> None:
    """Raise ArtifactError if the size of a tensor does not fit the backbone.

    Args:
        prompt: the prompt.
        backbone: the model.
        others: other tensors by name, each with the width that it has to have.
    """
    widths = {name: (tensor, backbone.width) for name, tensor in prompt.vectors.items()}
    widths |= {DEEP + name: (tensor, backbone.layers.width) for name, tensor in prompt.deep.items()}
    widths |= others if others is not None else {}
    by_states = [f"{block.key}/down" for block in prompt.template.blocks if block.from_by == "states"]
    widths |= {FROM + name: (prompt.networks[name], backbone.mean_state_width) for name in by_states}
    for name, (tensor, width) in widths.items():
        if tensor.shape[-1] != width:
            raise ArtifactError(
                f"tensor {name!r} of this prompt has width {tensor.shape[-1]}, and {backbone.name} has {width}"
            )
    layers = {block.key: block.layers for block in prompt.template.blocks}
    for name, tensor in prompt.deep.items():
        if len(tensor) != len(entered := layers[name].later(backbone.layers.count)):
            raise ArtifactError(
                f"tensor {DEEP + name!r} of this prompt is for {len(tensor)} layers, and {backbone.name} has "
                f"{len(entered)} for it"
            )


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with a prefix in front of their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with this prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
