"""The folder of a PEFT adapter with vectors for the front of every sequence: its configuration and its tensors."""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, TypedDict

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache
from softcloze.errors import ArtifactError, ParameterError
from softcloze.files import new_folder, unique_keys
from softcloze.formatting import quoted
from softcloze.parameters import integer
from softcloze.prompt.folder import folder_of
from softcloze.prompt.shape import check_shape
from softcloze.prompt.tensors import Shape, check_tensors, parse_tensors

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
TASK_TYPES = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
VECTORS = "prompt_embeddings"
COLUMNS, ROWS = "prefix_task_cols", "prefix_task_rows"
_LARGEST = 2**20  # bytes of a configuration
_PROMPTS = ("PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_PREFIX = "PREFIX_TUNING"
_Count = Annotated[int, integer(at_least=1)]


class _Config(TypedDict):
    peft_type: str
    num_virtual_tokens: _Count


class _Optional(_Config, total=False):  # other keys as well
    task_type: str | None
    num_transformer_submodules: _Count | None
    num_layers: _Count | None
    num_attention_heads: _Count | None
    token_dim: _Count | None


def write_adapter(folder: Path, front: Tensor | PrefixCache, backbone: Backbone, readme: str) -> None:
    """Write the front of every sequence as an adapter, which PEFT from 0.4 on reads.

    Args:
        folder: a new or an empty folder.
        front: input embeddings, shape (vectors, width), for prompt tuning; or keys and values, for prefix tuning.
        backbone: the model.
        readme: the content of README.md.

    Raises:
        FileError: the folder cannot be written.
    """
    config = backbone.model.config.get_text_config()
    name = getattr(backbone.model, "name_or_path", "") or backbone.name
    if isinstance(front, PrefixCache):
        # of each position the keys and values of each layer, each of all heads
        stacked = torch.stack([tensor[0].transpose(0, 1) for layer in front.layers for tensor in layer], 1)
        heads, width = stacked.shape[-2:]
        kind = {"peft_type": "PREFIX_TUNING", "prefix_projection": False}
        sizes = {"num_attention_heads": heads, "num_layers": len(front.layers), "token_dim": heads * width}
        vectors = stacked.flatten(1)
    else:
        kind = {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM"}
        sizes = {
            "num_attention_heads": getattr(config, "num_attention_heads", 1),
            "num_layers": getattr(config, "num_hidden_layers", 1),
            "token_dim": front.shape[-1],
        }
        vectors = front
    entries = {
        "base_model_name_or_path": name,
        "inference_mode": True,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": len(vectors),
        "task_type": TASK_TYPES[backbone.family],
        **sizes,
        **kind,
    }
    tensors = save_tensors({VECTORS: vectors.float().contiguous().cpu()}, metadata={"format": "pt"})
    with new_folder(folder) as draft:
        (draft / CONFIG).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
        (draft / TENSORS).write_bytes(tensors)
        (draft / "README.md").write_text(readme, encoding="utf-8", errors="replace", newline="\n")


def read_adapter(path: str | PathLike[str], task: int | None) -> Tensor:
    """Read the vectors of a prompt learning adapter, or the keys and values of prefix tuning.

    Of an encoder-decoder model PEFT saves twice as many vectors as it uses for prompt tuning and P-tuning; those that
    it uses are returned.

    Args:
        path: the folder that `save_pretrained` of PEFT wrote.
        task: the index of a task of multitask prompt tuning; None for other kinds.

    Returns:
        Shape (vectors, width), float32; of prefix tuning (layers, 2, vectors, heads, head width).

    Raises:
        ArtifactError: a file is missing or damaged, or the adapter is of a kind that cannot be read.
        ParameterError: `task` is missing, out of range, or given for another kind.
    """
    folder = folder_of(path)
    config = _read_config(folder)
    kind, count = config["peft_type"], config["num_virtual_tokens"]
    _validate_kind(folder, kind, config.get("task_type"))
    tensors = _read_tensors(folder)
    submodules = config.get("num_transformer_submodules") or (2 if config.get("task_type") == "SEQ_2_SEQ_LM" else 1)
    if kind == _PREFIX:
        layers, heads, width = config.get("num_layers"), config.get("num_attention_heads"), config.get("token_dim")
        if layers is None or heads is None or width is None or width % heads:
            raise ArtifactError(
                f"{folder / CONFIG} has num_layers={layers}, num_attention_heads={heads} and token_dim={width}; keys "
                "and values need all three, and a token_dim that is a multiple of the heads"
            )
        if problem := check_tensors(tensors, {VECTORS: (count, 2 * layers * width)}, dtypes=_DTYPES):
            raise ArtifactError(f"{folder / TENSORS} does not fit its configuration: {problem}")
        _validate_no_task(folder, kind, task)
        of_slots = tensors[VECTORS].float().view(count, layers, 2, heads, width // heads)
        return of_slots.permute(1, 2, 0, 3, 4).contiguous()
    is_multitask = kind == "MULTITASK_PROMPT_TUNING"
    if is_multitask and submodules > 1:
        raise ArtifactError(
            f"{folder} has multitask prompts of an encoder-decoder model, where PEFT puts vectors in front of the "
            "decoder as well; softcloze has none there"
        )
    expected: dict[str, Shape] = {VECTORS: (count * submodules, "width")}
    if is_multitask:
        expected |= {COLUMNS: ("tasks", count * submodules, "rank"), ROWS: ("tasks", "rank", "width")}
    if problem := check_tensors(tensors, expected, dtypes=_DTYPES):
        raise ArtifactError(f"{folder / TENSORS} does not fit its configuration: {problem}")
    vectors = tensors[VECTORS].float()
    if not is_multitask:
        _validate_no_task(folder, kind, task)
        return vectors[:count].clone()
    tasks = len(tensors[COLUMNS])
    if not integer(at_least=0).holds(task) or task is None or task >= tasks:
        raise ParameterError(f"{folder} has prompts of {tasks} tasks; give task=, an integer from 0 to {tasks - 1}")
    return vectors * (tensors[COLUMNS][task].float() @ tensors[ROWS][task].float())


def _validate_kind(folder: Path, kind: str, task_type: str | None) -> None:
    """Raise ArtifactError for an adapter of a kind that cannot be read, with the way out."""
    if kind == _PREFIX:
        if task_type == "CAUSAL_LM":
            return
        reason = f"was trained for task_type {task_type}, and softcloze takes keys and values of causal models alone"
        way = f"train it for CAUSAL_LM, or as {_PROMPTS[0]} or {_PROMPTS[1]}"
    elif kind not in _PROMPTS:
        reason = "changes the model and is no prompt"
        way = "load it with peft and give the result as model=(PeftModel.from_pretrained(base, folder), tokenizer)"
    elif task_type not in (None, *TASK_TYPES.values()):
        reason = f"was trained for task_type {task_type}, with a head of its own in place of the language model's"
        way = "train it for CAUSAL_LM, SEQ_2_SEQ_LM or, with a masked model, FEATURE_EXTRACTION"
    else:
        return
    raise ArtifactError(f"the adapter in {folder} is of type {quoted(kind)}: it {reason}\n  {way}")


def _validate_no_task(folder: Path, kind: str, task: int | None) -> None:
    if task is not None:
        raise ParameterError(f"task={task!r} is for an adapter of several tasks, and {folder} has a {kind} adapter")


def _read_config(folder: Path) -> _Optional:
    if not folder.is_dir() or not (folder / CONFIG).is_file():
        raise ArtifactError(f"{folder} is not the folder of a PEFT adapter: it has no {CONFIG}")
    path = folder / CONFIG
    text = _read(path)
    try:
        if len(text) > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        config = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if problem := check_shape(config, _Optional, CONFIG):
        what = "; a prompt adapter has these" if isinstance(config, Mapping) and "peft_type" in config else ""
        raise ArtifactError(f"{path} is not the configuration of a prompt: {problem}{what}")
    result: _Optional = config
    return result


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    if not (folder / TENSORS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        way = (
            "it has adapter_model.bin, a pickle; load it with peft and save it again" if pickled else "it is incomplete"
        )
        raise ArtifactError(f"{folder} has no {TENSORS}: {way}")
    return parse_tensors(_read(folder / TENSORS), folder / TENSORS)


def _read(path: Path) -> bytes:
    # links are followed: a hub's cache is made of them
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
