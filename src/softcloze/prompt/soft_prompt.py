"""The common part of prompts that classify and that write: soft vectors and demonstrations, and their tensors."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.backbone.soft_inputs import NOTHING_AFTER_PREFIX
from softcloze.data import Example
from softcloze.demonstrations import Demonstrations, NearestDemonstrations
from softcloze.encoding import CompiledBlock, Demonstration, EncodedPrompt
from softcloze.errors import ArtifactError, EncodingError, PrecisionWarning
from softcloze.formatting import quoted_list
from softcloze.prompt.folder import Content, SavedFolder
from softcloze.prompt.prefixes import PREFIX, prefix_cache, prefix_shape, validate_prefix
from softcloze.prompt.tensors import VECTORS, Shape
from softcloze.soft import SoftVectors
from softcloze.template import EMBEDDING, ChatOptions, Template

POOL = "demonstrations/vectors"  # with a "/", no soft block can have this name
DEEP = "deep/"  # soft vectors at later layers; with a "/", no soft block can have this name
FROM = "from/"  # networks of soft slots with from=


class SoftPrompt(ABC):
    """Base of `Prompt` and `GeneratorPrompt`, dataclasses that declare these attributes and `content`."""

    kind: ClassVar[SavedFolder]

    template: Template
    model: str
    fingerprint: Mapping[str, str]
    vectors: Mapping[str, Tensor]
    deep: Mapping[str, Tensor]
    prefixes: Mapping[str, Tensor]
    networks: Mapping[str, Tensor]
    max_length: int | None
    chat_options: ChatOptions | None
    demonstrations: Demonstrations | None
    training: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def description(self) -> str:
        """The template."""
        return str(self.template)

    @property
    def encodes_with_model(self) -> bool:
        """True if the model runs while an example is encoded: for demonstrations that are the nearest by its states.

        A service encodes examples of such a prompt in the thread that scores, and all others beside it.
        """
        return self.demonstrations is not None and self.demonstrations.uses_model

    def demonstrations_for(
        self, examples: Sequence[Example], backbone: Backbone
    ) -> Sequence[Sequence[Demonstration]] | None:
        """Demonstrations of each of `examples`; None where the template has none.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        if self.demonstrations is None:
            return None
        values = [self.template.read_fields(example, row) for row, example in enumerate(examples)]
        return self.demonstrations.select(values, backbone)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a folder with a card in JSON and a file of vectors.

        A prompt of the same kind that the folder holds is replaced atomically; all other files in it stay.

        Args:
            path: the folder: a new one, an empty one, or that of a saved prompt of this kind.

        Raises:
            ArtifactError: `path` holds other files and no such prompt, or a value is not finite or of the wrong type.
            FileError: the folder cannot be written.
            ParameterError: a transformer selects the demonstrations, which only a pickle could hold.
        """
        self.kind.write(path, self.content)

    @classmethod
    @abstractmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load what `save` wrote."""

    def to_files(self) -> dict[str, bytes]:
        """The files that `save` writes, by name, for a state that is no folder; raises as `save`."""
        content = self.content()
        return {**content.files, self.kind.card: self.kind.seal(*content)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The prompt of `to_files`, with the checks of `load`.

        Raises:
            ArtifactError: a file is missing, damaged or altered; names it.
        """
        expected = (cls.kind.card, VECTORS)
        if {*files} != {*expected} or not all(isinstance(content, bytes) for content in files.values()):
            raise ArtifactError(
                f"the state of this {cls.kind.kind} is damaged: expected the files {quoted_list(expected)}"
            )
        with TemporaryDirectory(prefix="softcloze-") as folder:
            for name in expected:
                (Path(folder) / name).write_bytes(files[name])
            try:
                return cls.load(folder)
            except ArtifactError as error:
                raise ArtifactError(str(error).replace(str(Path(folder) / "_")[:-1], "")) from error

    def for_weights_of(self, backbone: Backbone) -> Self:
        """The same prompt for its model with weights of another form, such as 4 bits instead of bfloat16.

        Its scores change, so that its metrics are left out, and its card names the form that it was trained on. The
        tokenizer and all sizes are checked. The weights are not, since those of another form are other numbers: that
        they are of the same model is up to you.

        Warns:
            PrecisionWarning: the prompt was trained on another form; names both.

        Raises:
            ArtifactError: the tokenizer or a size differs, or the weights do although their form is the same.
        """
        form, moved = backbone.fingerprint["quantisation"], self
        origin = self.training.get("trained_on", self.fingerprint)
        if form != self.fingerprint["quantisation"]:
            training = {name: value for name, value in self.training.items() if name != "trained_on"}
            fingerprint = origin
            if form != origin["quantisation"]:
                training["trained_on"] = dict(origin)
                fingerprint = {**origin, **{part: backbone.fingerprint[part] for part in ("quantisation", "model")}}
            # both subclasses are dataclasses
            moved = replace(self, fingerprint=fingerprint, training=training, metrics={})  # type: ignore[type-var]
        moved.validate_backbone(backbone)
        if form != origin["quantisation"]:
            warnings.warn(
                f"this prompt was trained on weights of the form {origin['quantisation']}, and {backbone.name} has the "
                f"form {form}: its scores change; measure it on labelled examples",
                PrecisionWarning,
                stacklevel=3,
            )
        return moved

    @abstractmethod
    def validate_backbone(self, backbone: Backbone) -> None:
        """Raise ArtifactError if the prompt belongs to another backbone."""

    @abstractmethod
    def content(self, suffix: str = "") -> Content:
        """The content of the folder, with `suffix` in the name of the file of vectors."""

    def _shared_entries(self) -> dict[str, Any]:
        """The entries that cards of both kinds have, but for those of demonstrations."""
        return {
            "template": str(self.template),
            "model": str(self.model),
            "fingerprint": dict(self.fingerprint),
            "max_length": self.max_length,
            "chat_options": dict(self.chat_options) if self.chat_options is not None else None,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
        }


def shared_parts(card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The attributes that both kinds of prompt take unchanged from a card and a file of vectors."""
    return {
        "model": card["model"],
        "fingerprint": card["fingerprint"],
        "vectors": {name: tensor for name, tensor in tensors.items() if "/" not in name},
        "deep": without_prefix(DEEP, tensors),
        "prefixes": without_prefix(PREFIX, tensors),
        "networks": without_prefix(FROM, tensors),
        "max_length": card["max_length"],
        "chat_options": card["chat_options"],
        "training": card["training"],
        "metrics": card["metrics"],
    }


def soft_tensors(prompt: SoftPrompt) -> dict[str, Tensor]:
    """The tensors of soft slots and of demonstrations by their names in the file."""
    tensors = {**prompt.vectors, **with_prefix(DEEP, prompt.deep), **with_prefix(FROM, prompt.networks)}
    tensors |= with_prefix(PREFIX, prompt.prefixes)
    if isinstance(prompt.demonstrations, NearestDemonstrations):
        tensors[POOL] = torch.from_numpy(prompt.demonstrations.vectors)
    return tensors


def soft_shapes(template: Template, demonstrations: Demonstrations | None, names: Collection[str]) -> dict[str, Shape]:
    """The shapes of the tensors of soft slots and of demonstrations by their names in the file.

    Args:
        template: the template.
        demonstrations: of the prompt.
        names: those of its tensors, by which the first block has keys and values, or vectors.
    """
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
    front = template.node_blocks[0] if template.node_blocks else None
    is_prefix = front is not None and PREFIX + front.key in names and template.node_blocks.count(front) == 1
    if is_prefix and front is not None and front.count is not None and front.layers == EMBEDDING:
        del expected[front.key]
        expected[PREFIX + front.key] = prefix_shape(front.count)
    if isinstance(demonstrations, NearestDemonstrations):
        expected[POOL] = (len(demonstrations.pool), "pool width")
    return expected


def bind_vectors(prompt: SoftPrompt, blocks: Sequence[CompiledBlock], backbone: Backbone) -> SoftVectors | None:
    """The soft vectors of a prompt on the device of its model; None where the template has no blocks.

    Raises:
        ParameterError: the vectors of a block are missing.
    """
    if not blocks:
        return None
    unused = {key: torch.zeros(tensor.shape[2], backbone.width) for key, tensor in prompt.prefixes.items()}
    tensors = ({**prompt.vectors, **unused}, prompt.deep, prompt.networks)
    soft = SoftVectors.from_blocks(blocks, *tensors).to(backbone.device)
    soft.prefixes = {key: prefix_cache(tensor, backbone) for key, tensor in prompt.prefixes.items()}
    return soft


def validate_after_prefix(prompt: SoftPrompt, encoded: Sequence[EncodedPrompt]) -> None:
    """Raise EncodingError, with the row, if nothing follows the keys and values that a prompt starts with."""
    known = max((tensor.shape[2] for tensor in prompt.prefixes.values()), default=-1)
    for row, example in enumerate(encoded):
        if len(example.left) <= known:
            where = f"row {row}: " if len(encoded) > 1 else ""
            raise EncodingError(f"{where}{NOTHING_AFTER_PREFIX}")


def validate_fingerprint(prompt: SoftPrompt, backbone: Backbone) -> None:
    """Raise ArtifactError if a part of the fingerprint differs; shows both values."""
    weights, expected_weights = backbone.fingerprint["quantisation"], prompt.fingerprint.get("quantisation")
    if weights != expected_weights:
        raise ArtifactError(
            f"this prompt was trained on weights of the form {expected_weights}, and those of {backbone.name} have "
            f"the form {weights}; load the model with the options quantize and dtype as then, or fit again; to use the "
            "prompt with other scores, load it with other_precision=True, or take prompt.for_weights_of(backbone)"
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
    for prefix in prompt.prefixes.values():
        validate_prefix(prefix, backbone)
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
