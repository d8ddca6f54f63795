"""The training loop of soft vectors and heads; the backbone stays frozen."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from softcloze.backbone import Backbone, PrefixCache
from softcloze.encoding import EncodedPrompt
from softcloze.errors import NonFiniteError, ParameterError
from softcloze.heads import Head
from softcloze.parameters import validate_parameters
from softcloze.scoring import Scorer
from softcloze.scoring.field_vectors import states_of_texts
from softcloze.soft import SoftVectors, layer_rms
from softcloze.training.checkpoint import TENSORS, Checkpoint, EpochState, Progress, Record
from softcloze.training.features import TrainingFeatures
from softcloze.training.settings import FIT_PARAMETERS, TrainingSettings, learning_rate_share, parse_size


def train(
    soft: SoftVectors | None,
    head: Head,
    scorer: Scorer,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int] | Tensor,
    settings: TrainingSettings,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    weights: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    on_cached: Callable[[PrefixCache], None] | None = None,
) -> list[Record]:
    """Train `soft` and `head` in place by the head's loss over label scores.

    Args:
        soft: the vectors to train; None if the template has none. If none is trained, each example takes one forward
            pass in all.
        head: computes label scores from features; trained if it has parameters.
        scorer: computes features with the frozen backbone.
        prompts: the encoded training examples.
        targets: index of each example's label, or probabilities of the labels, shape (examples, labels); for
            `ThresholdHead` 1.0 for each label that an example has and 0.0 for others.
        settings: options of training; `settings.checkpoint` is ignored in favour of `checkpoint`.
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW for soft vectors, in units of the root mean square of the input embeddings.
        seed: seed of the order of examples and of the held-out examples.
        weights: factor of each example's loss, with mean 1, shape (examples,), for `ThresholdHead` (examples, labels);
            None for 1.
        checkpoint: holds the progress; an interrupted fit found there is resumed. It stays at the end.
        on_cached: called before training with the keys and values that are computed once, if any.

    Source:
        AdamW: Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101; the mean of several steps: Polyak and Juditsky, SIAM
        Journal on Control and Optimization 30(4), 1992.

    Returns:
        One record per epoch: epoch (from 1); loss (nats per example, weighted), accuracy, and labels (the number of
        different labels predicted), all three measured during training; rate (share of the learning rate at the end of
        the epoch); seconds; and with early stopping validation_loss (nats per example, weighted).

    Raises:
        ParameterError: a setting is outside its range, a soft slot gets no gradient, or the examples are too few to
            hold some out.
        CheckpointError: the checkpoint is damaged.
        NonFiniteError: a loss, a gradient or a trained weight is NaN or infinite; names epoch and step.
    """
    values = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    validate_parameters(values, FIT_PARAMETERS)
    settings.validate()
    goal = torch.as_tensor(targets)
    chosen, held_out = list(range(len(goal))), list[int]()
    if settings.early_stopping:
        classes = goal if goal.dim() == 1 else goal.argmax(-1)
        chosen, held_out = hold_out(classes.tolist(), settings.validation_fraction, seed)
    field_states: dict[tuple[int, ...], Tensor] = {}
    if soft is not None:
        fields = soft.state_fields
        texts = (prompt.field_ids[name] for prompt in prompts for name in fields)
        field_states = states_of_texts(scorer.backbone, texts)
        to_train = [prompts[i] for i in chosen]
        states = {name: _states_of(to_train, name, field_states, scorer.backbone) for name in fields}
        soft.start_networks(settings.from_width, scorer.backbone.embedding_rms, seed, states)
    features = TrainingFeatures(scorer, prompts, soft, parse_size(settings.cache_memory), field_states)
    if on_cached is not None and features.frozen is not None:
        on_cached(features.frozen)
    if soft is not None:
        soft.reparameterize(settings.via_width, scorer.backbone.embedding_rms, seed)
    trained = _named(soft, head)
    if soft is not None and "deep" in soft.trained:
        with torch.no_grad():
            soft.rescale(layer_rms(scorer.backbone, prompts, features.inputs_of(soft)))
    groups = _parameter_groups(soft, head, scorer.backbone, features, learning_rate, settings)
    # no weight decay: embeddings, and weights initialised from words, have no reason to be near 0
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    steps_per_epoch = -(-len(chosen) // batch_size)
    steps = steps_per_epoch * epochs

    # no mean for a head alone, which converges, nor with a held-out loss, which shows the best epoch
    averaged = settings.average_last_epochs if soft is not None and soft.trained and not held_out else 0
    first_averaged = max(0, epochs - averaged) * steps_per_epoch
    kept = _values(trained, soft)  # weights to end with, if not those of the last step: their mean, or the best epoch's
    history: list[Record] = []
    state = Progress({}).epoch
    progress = checkpoint.resume(trained) if checkpoint is not None else None
    if progress is not None:
        history, state = progress.history, progress.epoch
        kept = _restore(progress, trained, optimizer, step=len(history) * steps_per_epoch + state["steps"])

    dtype = scorer.backbone.model.dtype

    def weights_of(rows: list[int]) -> Tensor | None:
        return weights[rows] if weights is not None else None

    def validate(values: Sequence[Tensor], what: str, step: int) -> None:
        if all(bool(value.isfinite().all()) for value in values):
            return
        epoch, number = divmod(step, steps_per_epoch)
        raise NonFiniteError(
            f"the {what} is NaN or infinite in epoch {epoch + 1}, step {number + 1} of {steps_per_epoch}, with "
            f"learning_rate={learning_rate} in {str(dtype).removeprefix('torch.')}: lower the learning rate, "
            'or load the model with dtype="bfloat16" or "float32"; nothing was learnt'
        )

    def learn(step: int, size: int, part: list[int]) -> tuple[float, int, set[int]]:
        """Add the gradients of a part of a batch; return the sum of its losses, its hits and the predicted labels."""
        scores = head.label_scores(features.of(part))
        loss = head.loss(scores, goal[part], weights_of(part)) * len(part)
        validate([loss], "loss", step)
        torch.autograd.backward(loss / size)
        return float(loss.detach()), int(head.hits(scores, goal[part]).sum()), head.predicted_labels(scores)

    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    while not _finished(history, epochs, settings):
        started = time.perf_counter() - state["seconds"]
        epoch = len(history)
        first_step = epoch * steps_per_epoch
        total, hits, predicted = state["loss"], state["hits"], {*state["labels"]}
        order = np.random.default_rng([seed, epoch]).permutation(chosen)
        with scorer.backbone.frozen():
            for step in range(first_step + state["steps"], first_step + steps_per_epoch):
                batch = order[(step - first_step) * batch_size :][:batch_size].tolist()
                for group in optimizer.param_groups:
                    group["lr"] = group["highest"] * learning_rate_share(step, steps, settings.warmup_fraction)
                optimizer.zero_grad()
                for loss, right, labels in features.learn(batch, parameters, partial(learn, step, len(batch))):
                    total, hits, predicted = total + loss, hits + right, predicted | labels
                if step == 0 and soft is not None:
                    soft.validate_gradient()
                for group in optimizer.param_groups:
                    norm = nn.utils.clip_grad_norm_(group["params"], settings.max_grad_norm)
                    validate([norm], "gradient", step)
                optimizer.step()
                if step >= first_averaged:
                    for name, value in _values(trained, soft).items():
                        mean = kept[name].lerp(value, 1 / (step - first_averaged + 1))
                        # what is not trained stays, bit for bit: of two -0.0 the mean may be 0.0
                        kept[name] = torch.where(kept[name] == value, kept[name], mean)
                if checkpoint is not None and checkpoint.is_due:
                    seconds = time.perf_counter() - started
                    state = EpochState(
                        steps=step - first_step + 1, loss=total, hits=hits, labels=sorted(predicted), seconds=seconds
                    )
                    checkpoint.save(_progress(trained, optimizer, kept, seed, history, state))
                if settings.on_step is not None:
                    settings.on_step(step + 1, steps)
            state = Progress({}).epoch
            record: Record = {
                "epoch": epoch + 1,
                "loss": total / len(order),
                "accuracy": hits / len(order),
                "labels": len(predicted),
            }
            if held_out:
                with torch.no_grad():
                    scores = head.label_scores(features.without_gradient(held_out))
                record["validation_loss"] = float(head.loss(scores, goal[held_out], weights_of(held_out)))
                if record["validation_loss"] < min((r["validation_loss"] for r in history), default=float("inf")):
                    kept = _values(trained, soft)
        # in the precision of the model, in which soft vectors take part
        validate(
            [tensor.to(dtype) for tensor in (*trained.values(), *kept.values())],
            "trained weight",
            first_step + steps_per_epoch - 1,
        )
        record["rate"] = learning_rate_share((epoch + 1) * steps_per_epoch - 1, steps, settings.warmup_fraction)
        record["seconds"] = time.perf_counter() - started
        history.append(record)
        if checkpoint is not None:
            checkpoint.save(_progress(trained, optimizer, kept, seed, history, state))
        if settings.on_epoch is not None:
            settings.on_epoch(record)
    ends_with_kept = len(history) * steps_per_epoch > first_averaged or bool(held_out)
    if ends_with_kept:
        for name, weight in trained.items():
            weight.data.copy_(kept[name])
    if soft is not None:
        soft.fold(soft.weight if ends_with_kept else None)
    return history


def _states_of(
    prompts: Sequence[EncodedPrompt], field: str, states: Mapping[tuple[int, ...], Tensor], backbone: Backbone
) -> Tensor:
    """The mean states of a field of prompts that have some, shape (prompts, state width)."""
    of_prompts = [states[prompt.field_ids[field]] for prompt in prompts if prompt.field_ids[field]]
    return torch.stack(of_prompts) if of_prompts else torch.empty(0, backbone.mean_state_width)


def _named(soft: SoftVectors | None, head: Head) -> dict[str, nn.Parameter]:
    """All trained parameters by name."""
    vectors = soft.trained if soft is not None else {}
    return vectors | {f"head/{name}": weight for name, weight in head.named_parameters()}


def _parameter_groups(
    soft: SoftVectors | None,
    head: Head,
    backbone: Backbone,
    features: TrainingFeatures,
    learning_rate: float,
    settings: TrainingSettings,
) -> list[dict[str, Any]]:
    """Optimiser groups of soft vectors and head, each with its highest step."""
    groups: list[dict[str, Any]] = []
    if soft is not None and soft.trains_embeddings:
        groups.append({"params": [soft.weight], "highest": learning_rate * backbone.embedding_rms})
    if soft is not None and (networks := list(soft.encoders.parameters())):
        groups.append({"params": networks, "highest": settings.via_learning_rate})
    for network in soft.inputs().networks if soft is not None else ():
        unit, rate = backbone.embedding_rms, settings.from_learning_rate
        first = rate / unit if network.moments is None else rate  # mean states are standardised
        groups.append({"params": [network.down], "highest": first})
        groups.append({"params": [network.up], "highest": rate * unit})
    if soft is not None and "deep" in soft.trained:
        # the changes of all layers add up
        groups.append({"params": [soft.deep], "highest": settings.deep_learning_rate / soft.depth})
    if parameters := list(head.parameters()):
        # AdamW moves all components of a weight vector by about one step, and a score by that times the state's L1 norm
        reach = float(features.without_gradient(features.sample).abs().sum(-1).mean())
        groups.append({"params": parameters, "highest": settings.head_learning_rate / reach})
    return groups


def warn_if_stuck(history: Sequence[Record], target_loss: float) -> None:
    """Warn if the training loss did not fall."""
    first, last = history[0]["loss"], history[-1]["loss"]
    if len(history) > 1 and last > 0.99 * first and last > target_loss:
        fell = "hardly fell" if last < first else "did not fall"
        warnings.warn(
            f"the training loss {fell} ({first:.3f} nats in the first epoch, {last:.3f} in the last); "
            "try another template, other label words or more epochs",
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


def _finished(history: Sequence[Record], epochs: int, settings: TrainingSettings) -> bool:
    if not history:
        return False
    if len(history) >= epochs or history[-1]["loss"] < settings.target_loss:
        return True
    if settings.early_stopping:
        losses = [record["validation_loss"] for record in history]
        return len(losses) - 1 - losses.index(min(losses)) >= settings.n_iter_no_change
    return False


def _values(trained: Mapping[str, nn.Parameter], soft: SoftVectors | None) -> dict[str, Tensor]:
    """Copies of the parameters by name; of input embeddings, those that the model is given."""
    values = {name: weight.detach().clone() for name, weight in trained.items()}
    if soft is not None and "soft" in values:
        with torch.no_grad():
            values["soft"] = soft.folded().clone()
    return values


def _progress(
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, Tensor],
    seed: int,
    history: list[Record],
    epoch: EpochState,
) -> Progress:
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        state = optimizer.state[weight]
        kinds = dict(zip(TENSORS, (weight.detach(), kept[name], state["exp_avg"], state["exp_avg_sq"]), strict=True))
        tensors |= {f"{name}/{kind}": tensor.cpu().contiguous() for kind, tensor in kinds.items()}
    return Progress(tensors, seed, history, epoch)


def _restore(
    progress: Progress, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, step: int
) -> dict[str, Tensor]:
    """Restore weights and optimiser from a checkpoint; return the kept weights."""
    kept = {}
    for name, weight in weights.items():
        now, kept[name], mean, square = (progress.tensors[f"{name}/{kind}"].to(weight.device) for kind in TENSORS)
        weight.data.copy_(now)
        optimizer.state[weight].update(step=torch.tensor(float(step)), exp_avg=mean, exp_avg_sq=square)
    return kept
