"""The training loop of soft vectors and heads; the backbone stays frozen."""

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from softcloze.backbone import PrefixCache
from softcloze.errors import NonFiniteError, ParameterError
from softcloze.parameters import validate_parameters
from softcloze.scoring.field_vectors import states_of_texts
from softcloze.soft import layer_rms
from softcloze.training.agreement import resume, take_values_of_first, validate_parts
from softcloze.training.batches import draw_batches
from softcloze.training.checkpoint import Checkpoint, EpochState, Progress, Record
from softcloze.training.distributed import Learnt, Processes, processes
from softcloze.training.features import TrainingFeatures
from softcloze.training.optimised import current_values, named_parameters, parameter_groups, progress_of, restore
from softcloze.training.settings import FIT_PARAMETERS, ResolvedSettings, learning_rate_share, parse_size
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
        _features(task, rows, settings, memory, seed, group.count) for task, rows in zip(tasks, chosen, strict=True)
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
    groups = parameter_groups(tasks, features, learning_rate, settings)
    # no weight decay: embeddings, and weights initialised from words, have no reason to be near 0
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    steps_per_epoch = len(draw_batches(chosen, batch_size, seed, epoch=0))
    steps = steps_per_epoch * epochs

    # no mean for a head alone, which converges, nor with a held-out loss, which shows the best epoch
    averages = any(task.trains_vectors for task in tasks) and not settings.early_stopping
    averaged = settings.average_last_epochs if averages else 0
    first_averaged = max(0, epochs - averaged) * steps_per_epoch
    kept = current_values(
        trained, tasks
    )  # weights to end with, if not those of the last step: their mean, or the best epoch's
    history: list[Record] = []
    state = Progress({}).epoch
    unchecked = set(range(len(tasks)))  # tasks whose slots may lack a gradient
    progress = resume(group, checkpoint, trained)
    if not group.is_first:
        checkpoint = None
    if progress is not None:
        history, state, unchecked = progress.history, progress.epoch, set()
        kept = restore(progress, trained, optimizer)

    dtype = backbone.model.dtype

    def validate(values: Sequence[Tensor], what: str, step: int) -> None:
        if all(bool(value.isfinite().all()) for value in values):
            return
        epoch, number = divmod(step, steps_per_epoch)
        raise NonFiniteError(
            f"the {what} is NaN or infinite in epoch {epoch + 1}, step {number + 1} of {steps_per_epoch}, with "
            f"learning_rate={learning_rate} in {str(dtype).removeprefix('torch.')}: lower the learning rate, "
            'or load the model with dtype="bfloat16" or "float32"; nothing was learnt'
        )

    def learn(number: int, step: int, size: int, part: list[int]) -> Learnt:
        """Add the gradients of a part of a batch."""
        task = tasks[number]
        scores = task.head.label_scores(features[number].of(part))
        loss = task.loss(scores, part) * task.size(part)
        validate([loss], "loss", step)
        torch.autograd.backward(loss / size)
        return Learnt(part, float(loss.detach()), scores.detach())

    parameters = [weight for of_rate in groups for weight in of_rate["params"]]
    while not _finished(history, epochs, settings):
        started = time.perf_counter() - state["seconds"]
        epoch = len(history)
        first_step = epoch * steps_per_epoch
        totals = state["losses"] if len(state["losses"]) == len(tasks) else [0.0] * len(tasks)
        hits, predicted = state["hits"], {*state["labels"]}
        batches = draw_batches(chosen, batch_size, seed, epoch)
        with backbone.frozen():
            for step in range(first_step + state["steps"], first_step + steps_per_epoch):
                number, batch = batches[step - first_step]
                for of_rate in optimizer.param_groups:
                    of_rate["lr"] = of_rate["highest"] * learning_rate_share(step, steps, settings.warmup_fraction)
                optimizer.zero_grad()  # to None: weights of other tasks stay as they are
                task, of_task = tasks[number], features[number]
                learn_part = partial(learn, number, step, task.size(batch))
                learn_parts = partial(of_task.learn, parameters=parameters, learn=learn_part)
                for rows, loss, scores in group.learn(of_task.parts(batch), parameters, learn_parts):
                    totals[number] += loss
                    hits += int(task.head.hits(scores, task.targets[rows]).sum())
                    predicted |= {label * len(tasks) + number for label in task.head.predicted_labels(scores)}
                    task.last_scores.update(zip(rows, scores, strict=True))
                if number in unchecked and task.soft is not None:
                    task.soft.validate_gradient()
                unchecked.discard(number)
                for of_rate in optimizer.param_groups:
                    norm = nn.utils.clip_grad_norm_(of_rate["params"], settings.max_grad_norm)
                    validate([norm], "gradient", step)
                optimizer.step()
                if step >= first_averaged:
                    for name, value in current_values(trained, tasks).items():
                        mean = kept[name].lerp(value, 1 / (step - first_averaged + 1))
                        # what is not trained stays, bit for bit: of two -0.0 the mean may be 0.0
                        kept[name] = torch.where(kept[name] == value, kept[name], mean)
                if checkpoint is not None and checkpoint.is_due:
                    seconds = time.perf_counter() - started
                    state = EpochState(
                        steps=step - first_step + 1,
                        losses=totals,
                        hits=hits,
                        labels=sorted(predicted),
                        seconds=seconds,
                    )
                    checkpoint.save(progress_of(trained, optimizer, kept, seed, history, state))
                if settings.on_step is not None and group.is_first:
                    settings.on_step(step + 1, steps)
            state = Progress({}).epoch
            sizes = [sum(task.size(rows) for of, rows in batches if of == number) for number, task in enumerate(tasks)]
            record: Record = {"epoch": epoch + 1, "loss": sum(totals) / sum(sizes)}
            if all(task.head.predicts_labels for task in tasks):
                record |= {"accuracy": hits / sum(len(rows) for _, rows in batches), "labels": len(predicted)}
            # an epoch may have no batch of a small task
            of_tasks = zip(names, totals, sizes, strict=False)
            record |= {f"loss/{name}": total / size for name, total, size in of_tasks if size}
            if settings.early_stopping:
                record["validation_loss"] = _validation_loss(tasks, features, held_out, group)
                if record["validation_loss"] < min((r["validation_loss"] for r in history), default=float("inf")):
                    kept = current_values(trained, tasks)
        # in the precision of the model, in which soft vectors take part
        validate(
            [tensor.to(dtype) for tensor in (*trained.values(), *kept.values())],
            "trained weight",
            first_step + steps_per_epoch - 1,
        )
        record["rate"] = learning_rate_share((epoch + 1) * steps_per_epoch - 1, steps, settings.warmup_fraction)
        record["seconds"] = time.perf_counter() - started
        record = group.first_value(partial(dict, record))
        history.append(record)
        if checkpoint is not None:
            checkpoint.save(progress_of(trained, optimizer, kept, seed, history, state))
        if settings.on_epoch is not None and group.is_first:
            settings.on_epoch(record)
    ends_with_kept = len(history) * steps_per_epoch > first_averaged or settings.early_stopping
    if ends_with_kept:
        for name, weight in trained.items():
            weight.data.copy_(kept[name])
    for soft in softs:
        soft.fold(soft.weight if ends_with_kept else None)
    return history


def _features(
    task: TrainingTask, chosen: Sequence[int], settings: ResolvedSettings, memory: int, seed: int, count: int
) -> TrainingFeatures:
    """The features of a task, whose slots with from= get their networks."""
    field_states: dict[tuple[int, ...], Tensor] = {}
    if task.soft is not None:
        backbone, fields = task.scorer.backbone, task.soft.state_fields
        texts = (prompt.field_ids[name] for prompt in task.prompts for name in fields)
        field_states = states_of_texts(backbone, texts)
        states = {}
        for name in fields:
            of_field = [ids for i in chosen if (ids := task.prompts[i].field_ids[name])]
            empty = torch.empty(0, backbone.mean_state_width)
            states[name] = torch.stack([field_states[ids] for ids in of_field]) if of_field else empty
        task.soft.start_networks(settings.from_width, backbone.embedding_rms, seed, states)
    return TrainingFeatures(
        task.scorer,
        task.prompts,
        task.soft,
        memory,
        field_states,
        part_size=settings.part_size,
        processes=count,
    )


def _validation_loss(
    tasks: Sequence[TrainingTask],
    features: Sequence[TrainingFeatures],
    held_out: Sequence[list[int]],
    group: Processes,
) -> float:
    """Mean loss of the held-out examples of all tasks, in the unit of the loss."""
    total, size = 0.0, 0
    with torch.no_grad():
        for task, of_task, rows in zip(tasks, features, held_out, strict=True):
            loss = task.loss(task.head.label_scores(group.share(rows, of_task.without_gradient)), rows)
            total, size = total + float(loss) * task.size(rows), size + task.size(rows)
    return total / size


def validate_gradients() -> None:
    """Raise ParameterError where torch computes no gradients."""
    if not torch.is_grad_enabled():  # nor in inference mode
        raise ParameterError(
            "training computes gradients, and torch.no_grad() or torch.inference_mode() switches them off here; call "
            "fit outside of that block"
        )


def warn_if_stuck(history: Sequence[Record], target_loss: float, others: str = "other label words") -> None:
    """Warn if the training loss did not fall; `others` is what may be tried besides another template."""
    first, last = history[0]["loss"], history[-1]["loss"]
    if len(history) > 1 and last > 0.99 * first and last > target_loss:
        fell = "hardly fell" if last < first else "did not fall"
        warnings.warn(
            f"the training loss {fell} ({first:.3f} nats in the first epoch, {last:.3f} in the last); "
            f"try another template, {others} or more epochs",
            ConvergenceWarning,
            stacklevel=4,
        )


def hold_out(targets: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split examples into a training and a held-out part, with the same share of each class.

    Args:
        targets: index of each example's class.
        share: share of the examples to hold out.
        seed: seed of the split.

    Returns:
        The indices of the examples to train on, and of those held out.

    Raises:
        ParameterError: too few examples to hold some out.

    >>> hold_out([0, 0, 0, 0, 1, 1, 1, 1], share=0.25, seed=0)
    ([3, 4, 6, 2, 1, 5], [7, 0])
    """
    from sklearn.model_selection import train_test_split

    try:
        chosen, held_out = train_test_split(
            range(len(targets)), test_size=share, stratify=targets, random_state=seed % 2**32
        )
    except ValueError as error:
        raise ParameterError(f"cannot hold out a share of {len(targets)} examples: {error}") from error
    return chosen, held_out


def _finished(history: Sequence[Record], epochs: int, settings: ResolvedSettings) -> bool:
    if not history:
        return False
    if len(history) >= epochs or history[-1]["loss"] < settings.target_loss:
        return True
    if settings.early_stopping:
        losses = [record["validation_loss"] for record in history]
        return len(losses) - 1 - losses.index(min(losses)) >= settings.n_iter_no_change
    return False
