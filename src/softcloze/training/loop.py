"""The training loop of soft vectors and heads; the backbone stays frozen."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from softcloze.backbone import PrefixCache
from softcloze.parameters import validate_parameters
from softcloze.soft import layer_rms
from softcloze.training.agreement import resume, take_values_of_first, validate_parts
from softcloze.training.batches import draw_batches
from softcloze.training.checkpoint import Checkpoint, Progress, Record
from softcloze.training.checks import FiniteCheck, validate_gradients
from softcloze.training.distributed import processes
from softcloze.training.epoch import EpochSums
from softcloze.training.features import features_of_task
from softcloze.training.held_out import finished, hold_out, validation_loss
from softcloze.training.optimised import add_to_mean, current_values, named_parameters, progress_of, restore
from softcloze.training.settings import FIT_PARAMETERS, ResolvedSettings, parse_size
from softcloze.training.step import Optimisation
from softcloze.training.task import TrainingTask


def train(
    tasks: Sequence[TrainingTask],
    settings: ResolvedSettings,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Checkpoint | None = None,
    on_cached: Callable[[PrefixCache], None] | None = None,
    names: Sequence[str] = (),
) -> list[Record]:
    """Train the soft vectors and heads of tasks in place, each by its head's loss over label scores.

    The examples of a batch belong to one task; `draw_batches` draws it. Within `joined_processes`, each process has all
    examples and computes its share of the parts of each batch; all end with the same vectors and history.

    Args:
        tasks: what to train, all with one backbone; vectors may belong to several tasks (`SoftVectors.share`).
        settings: options of training; `settings.checkpoint` is ignored in favour of `checkpoint`.
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW for soft vectors, in units of the root mean square of the input embeddings.
        seed: seed of the order of tasks and examples and of the held-out examples.
        checkpoint: holds the progress; an interrupted fit found there is resumed. It stays at the end.
        on_cached: called before training with the keys and values of a task that are computed once, if any.
        names: names of the tasks, by which the history has the loss of each; none for a single task.

    Source:
        AdamW: Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101; the mean of several steps: Polyak and Juditsky, SIAM
        Journal on Control and Optimization 30(4), 1992.

    Returns:
        One record per epoch: epoch (from 1); loss (nats per example, weighted, or per token of answers), accuracy, and
        labels (the number of different labels predicted; both are left out for answers), all three of all tasks
        together and measured during training; rate (share of the learning rate at the end of the epoch); seconds; with
        early stopping validation_loss, in the unit of the loss; and "loss/NAME" of each task with a name.

    Raises:
        ParameterError: a setting is outside its range, a soft slot gets no gradient, torch computes none here, or the
            examples are too few to hold some out.
        ProcessError: more processes than parts of a batch, or a process that has ended.
        CheckpointError: the checkpoint is damaged.
        NonFiniteError: a loss, a gradient or a trained weight is NaN or infinite; names epoch and step.
    """
    values = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    validate_parameters(values, FIT_PARAMETERS)
    settings.validate()
    validate_gradients()
    group = processes()
    validate_parts(group, tasks, settings, batch_size)
    take_values_of_first(group, tasks)
    chosen, held_out = [list(range(len(task.prompts))) for task in tasks], [list[int]() for _ in tasks]
    if settings.early_stopping:
        splits = [hold_out(task.classes, settings.validation_fraction, seed) for task in tasks]
        chosen, held_out = [split[0] for split in splits], [split[1] for split in splits]
    backbone = tasks[0].scorer.backbone
    softs = [task.soft for task in tasks if task.soft is not None]
    memory = parse_size(settings.cache_memory) // len(tasks)
    features = [
        features_of_task(task, rows, settings, memory, seed, group.count)
        for task, rows in zip(tasks, chosen, strict=True)
    ]
    for of_task in features:
        if on_cached is not None and of_task.frozen is not None:
            on_cached(of_task.frozen)
    for soft in softs:
        soft.reparameterize(settings.via_width, backbone.embedding_rms, seed)
    trained = named_parameters(tasks)
    for task, of_task in zip(tasks, features, strict=True):
        if task.soft is not None and "deep" in task.soft.trained:
            with torch.no_grad():
                task.soft.rescale(layer_rms(backbone, task.prompts, of_task.inputs_of(task.soft)))
    steps_per_epoch = len(draw_batches(chosen, batch_size, seed, epoch=0))
    finite = FiniteCheck(learning_rate, backbone.model.dtype, steps_per_epoch)
    optimisation = Optimisation(
        tasks,
        features,
        settings,
        learning_rate=learning_rate,
        steps=steps_per_epoch * epochs,
        group=group,
        finite=finite,
    )

    # no mean for a head alone, which converges, nor with a held-out loss, which shows the best epoch
    averages = any(task.trains_vectors for task in tasks) and not settings.early_stopping
    averaged = settings.average_last_epochs if averages else 0
    first_averaged = max(0, epochs - averaged) * steps_per_epoch
    # weights to end with, if not those of the last step: their mean, or those of the best epoch
    kept = current_values(trained, tasks)
    progress = resume(group, checkpoint, trained)
    if progress is not None:
        kept = restore(progress, trained, optimisation.optimizer)
        optimisation.unchecked.clear()
    else:
        progress = Progress({}, seed)
    history, state = progress.history, progress.epoch
    if not group.is_first:
        checkpoint = None

    while not finished(history, epochs, settings):
        started = time.perf_counter() - state["seconds"]
        first_step = len(history) * steps_per_epoch
        end = first_step + steps_per_epoch
        sums = EpochSums.of(tasks, state)
        batches = draw_batches(chosen, batch_size, seed, epoch=len(history))
        with backbone.frozen():
            for step in range(first_step + state["steps"], end):
                number, batch = batches[step - first_step]
                sums.add(number, optimisation.take_step(step, number, batch))
                if step >= first_averaged:
                    add_to_mean(kept, current_values(trained, tasks), 1 / (step - first_averaged + 1))
                if checkpoint is not None and checkpoint.is_due:
                    state = sums.state(step - first_step + 1, time.perf_counter() - started)
                    checkpoint.save(progress_of(trained, optimisation.optimizer, kept, seed, history, state))
                if settings.on_step is not None and group.is_first:
                    settings.on_step(step + 1, steps_per_epoch * epochs)
            record: Record = {"epoch": len(history) + 1, **sums.record(batches, names)}
            if settings.early_stopping:
                record["validation_loss"] = validation_loss(tasks, features, held_out, group)
                if record["validation_loss"] < min((r["validation_loss"] for r in history), default=float("inf")):
                    kept = current_values(trained, tasks)
        # in the precision of the model, in which soft vectors take part
        weights = [tensor.to(backbone.model.dtype) for tensor in (*trained.values(), *kept.values())]
        finite.validate(weights, "trained weight", end - 1)
        record["rate"] = optimisation.rate_share(end - 1)
        record["seconds"] = time.perf_counter() - started
        record = group.first_value(partial(dict, record))
        history.append(record)
        state = Progress({}).epoch
        if checkpoint is not None:
            checkpoint.save(progress_of(trained, optimisation.optimizer, kept, seed, history, state))
        if settings.on_epoch is not None and group.is_first:
            settings.on_epoch(record)
    ends_with_kept = len(history) * steps_per_epoch > first_averaged or settings.early_stopping
    if ends_with_kept:
        for name, weight in trained.items():
            weight.data.copy_(kept[name])
    for soft in softs:
        soft.fold(soft.weight if ends_with_kept else None)
    return history
