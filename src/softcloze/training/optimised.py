"""The parameters that are optimised: their names, their steps, and their state in a checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softcloze.training.checkpoint import MOMENTS, TENSORS, EpochState, Progress, Record
from softcloze.training.features import TrainingFeatures
from softcloze.training.settings import ResolvedSettings
from softcloze.training.task import TrainingTask


def _prefixes(tasks: Sequence[TrainingTask]) -> list[str]:
    """The prefix of the names of the parameters of each task; empty for a single one."""
    return [f"{number}/" for number in range(len(tasks))] if len(tasks) > 1 else [""]


def named_parameters(tasks: Sequence[TrainingTask]) -> dict[str, nn.Parameter]:
    """All trained parameters by name; one of several tasks has the name of the first."""
    names: dict[nn.Parameter, str] = {}
    for prefix, task in zip(_prefixes(tasks), tasks, strict=True):
        for name, weight in task.trained.items():
            names.setdefault(weight, prefix + name)
    return {name: weight for weight, name in names.items()}


def parameter_groups(
    tasks: Sequence[TrainingTask],
    features: Sequence[TrainingFeatures],
    learning_rate: float,
    settings: ResolvedSettings,
) -> list[dict[str, Any]]:
    """Optimiser groups of soft vectors and heads, each with its highest step."""
    groups: list[dict[str, Any]] = []
    unit = tasks[0].scorer.backbone.embedding_rms
    shared = dict.fromkeys(
        task.soft.shared.vectors for task in tasks if task.soft is not None and task.soft.shared is not None
    )
    if shared:
        groups.append({"params": [*shared], "highest": learning_rate * unit})
    for task, of_task in zip(tasks, features, strict=True):
        soft, head = task.soft, task.head
        if soft is not None and soft.trains_embeddings:
            groups.append({"params": [soft.weight], "highest": learning_rate * unit})
        if soft is not None and soft.shared is not None:
            groups.append({"params": soft.shared.factors, "highest": learning_rate})
        if soft is not None and (networks := list(soft.encoders.parameters())):
            groups.append({"params": networks, "highest": settings.via_learning_rate})
        inputs = soft.inputs() if soft is not None else None
        for network in (*inputs.networks, *inputs.late) if inputs is not None else ():
            rate = settings.from_learning_rate
            given = soft.state_units[network.field] if soft is not None and network.by_states else unit
            groups.append({"params": [network.down], "highest": rate if network.layer else rate / given})
            entered = soft.units[network.layer] if soft is not None and network.layer else unit
            groups.append({"params": [network.up], "highest": rate * entered})
        if soft is not None and "deep" in soft.trained:
            # the changes of all layers add up
            groups.append({"params": [soft.deep], "highest": settings.deep_learning_rate / soft.depth})
        if parameters := list(head.parameters()):
            # AdamW moves all components of a weight vector by about one step, and a score by that times the state's L1
            # norm
            reach = float(of_task.without_gradient(of_task.sample).abs().sum(-1).mean())
            groups.append({"params": parameters, "highest": settings.head_learning_rate / reach})
    return groups


def current_values(trained: Mapping[str, nn.Parameter], tasks: Sequence[TrainingTask]) -> dict[str, Tensor]:
    """Copies of the parameters by name; of input embeddings, those that the model is given."""
    values = {name: weight.detach().clone() for name, weight in trained.items()}
    for prefix, task in zip(_prefixes(tasks), tasks, strict=True):
        if task.soft is not None and f"{prefix}soft" in values:
            with torch.no_grad():
                values[f"{prefix}soft"] = task.soft.folded().clone()
    return values


def add_to_mean(means: dict[str, Tensor], values: Mapping[str, Tensor], share: float) -> None:
    """Move means towards new values by a share, in place."""
    for name, value in values.items():
        mean = means[name].lerp(value, share)
        # what is not trained stays, bit for bit: of two -0.0 the mean may be 0.0
        means[name] = torch.where(means[name] == value, means[name], mean)


def progress_of(
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, Tensor],
    seed: int,
    history: list[Record],
    epoch: EpochState,
) -> Progress:
    """The progress that a checkpoint holds after a step; `kept` are the weights that the fit would end with."""
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        # a weight of a task that no batch has been of has no state yet
        state = {
            "step": torch.tensor(0.0),
            **dict.fromkeys(MOMENTS, torch.zeros_like(weight)),
            **optimizer.state[weight],
        }
        kinds = {"weight": weight.detach(), "kept": kept[name]} | {kind: state[kind] for kind in ("step", *MOMENTS)}
        tensors |= {f"{name}/{kind}": tensor.cpu().contiguous().clone() for kind, tensor in kinds.items()}
    return Progress(tensors, seed, history, epoch)


def restore(
    progress: Progress, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Restore weights and optimiser from a checkpoint; return the kept weights."""
    kept = {}
    for name, weight in weights.items():
        kinds = {kind: progress.tensors[f"{name}/{kind}"] for kind in TENSORS}
        weight.data.copy_(kinds["weight"])
        kept[name] = kinds["kept"].to(weight.device)
        moments = {kind: kinds[kind].to(weight.device) for kind in MOMENTS}
        optimizer.state[weight].update(step=kinds["step"], **moments)
    return kept
