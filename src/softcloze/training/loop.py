"""The training loop: it moves the soft vectors and nothing else."""

import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from softcloze.encoding import EncodedPrompt
from softcloze.scoring import Scorer
from softcloze.soft import SoftVectors
from softcloze.training.checkpoint import Checkpoint, Progress, Record
from softcloze.training.settings import SettingsError, TrainingSettings
from softcloze.verbalizer import AnyVerbalizer


def train(
    soft: SoftVectors,
    scorer: Scorer,
    verbalizer: AnyVerbalizer,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int],
    settings: TrainingSettings,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Train `soft` in place by cross-entropy over label scores.

    Args:
        soft: the vectors to train.
        scorer: scores label words with the frozen backbone.
        verbalizer: turns word scores into label scores.
        prompts: the encoded training examples.
        targets: the index of each example's label in `verbalizer.labels`.
        settings: how to train.
        checkpoint: where progress is kept between epochs; an interrupted fit found there goes on.
        on_epoch: called with each epoch's record.

    Returns:
        One record per epoch: epoch (from 1), loss (nats per example, while training), accuracy (likewise), rate
        (share of the learning rate at its end), seconds, and with early stopping validation_loss.

    Raises:
        SoftSlotError: some soft slot gets no gradient.
        SettingsError: too few examples to hold some out.
        CheckpointError: the checkpoint is damaged.
    """
    goal = torch.as_tensor(targets)
    chosen, held_out = list(range(len(goal))), list[int]()
    if settings.early_stopping:
        chosen, held_out = hold_out(targets, settings.validation_fraction, settings.seed)
    soft.to(scorer.backbone.device)
    accelerator = Accelerator(cpu=scorer.backbone.device.type == "cpu", device_placement=False)
    step_size = settings.learning_rate * scorer.backbone.embedding_rms
    # no weight decay: 0 is no special place among embeddings
    optimizer = accelerator.prepare_optimizer(torch.optim.AdamW(soft.parameters(), lr=step_size, weight_decay=0.0))
    steps_per_epoch = -(-len(chosen) // settings.batch_size)
    steps = steps_per_epoch * settings.epochs

    best = soft.weight.detach().clone()
    history: list[Record] = []
    progress = checkpoint.load() if checkpoint is not None else None
    if checkpoint is not None and progress is not None:
        checkpoint.check(progress, soft.weight)
        history = progress.history
        best = _restore(progress, soft, optimizer, step=len(history) * steps_per_epoch)

    with scorer.backbone.frozen():
        frozen = scorer.read_frozen(prompts)
        while not _finished(history, settings):
            started = time.perf_counter()
            epoch = len(history)
            total, right = 0.0, 0
            order = np.random.default_rng([settings.seed, epoch]).permutation(chosen)
            for step, first in enumerate(range(0, len(order), settings.batch_size), start=epoch * steps_per_epoch):
                batch = order[first : first + settings.batch_size].tolist()
                for group in optimizer.param_groups:
                    group["lr"] = step_size * settings.rate(step, steps)
                prefix = frozen.rows(batch) if frozen is not None else None
                words = scorer.batch([prompts[i] for i in batch], soft.weight, prefix)
                scores = verbalizer.label_scores(words).cpu()
                loss = cross_entropy(scores, goal[batch])
                optimizer.zero_grad()
                accelerator.backward(loss)
                if step == 0:
                    soft.check_gradient()
                accelerator.clip_grad_norm_(soft.parameters(), settings.max_grad_norm)
                optimizer.step()
                total += float(loss.detach()) * len(batch)
                right += int((scores.argmax(-1) == goal[batch]).sum())
            record: Record = {"epoch": epoch + 1, "loss": total / len(order), "accuracy": right / len(order)}
            if held_out:
                (words,) = scorer.all([prompts[i] for i in held_out], [soft.weight])
                scores = verbalizer.label_scores(words)
                record["validation_loss"] = float(cross_entropy(scores, goal[held_out]))
                if record["validation_loss"] < min((r["validation_loss"] for r in history), default=float("inf")):
                    best = soft.weight.detach().clone()
            record["rate"] = settings.rate((epoch + 1) * steps_per_epoch - 1, steps)
            record["seconds"] = time.perf_counter() - started
            history.append(record)
            if checkpoint is not None:
                checkpoint.save(_progress(soft, optimizer, best, history))
            if on_epoch is not None:
                on_epoch(record)
    if held_out:
        soft.weight.data.copy_(best)
    if checkpoint is not None:
        checkpoint.discard()
    return history


def warn_if_stuck(history: Sequence[Record], predicted: Sequence[int], settings: TrainingSettings) -> None:
    """Warn when training did not learn: the loss did not fall, or every example gets the same label."""
    first, last = history[0]["loss"], history[-1]["loss"]
    if len(history) > 1 and last > 0.99 * first and last > settings.stop_loss:
        warnings.warn(
            f"the training loss did not fall ({first:.3f} nats in the first epoch, {last:.3f} in the last); "
            "try another template, other label words or more epochs",
            ConvergenceWarning,
            stacklevel=3,
        )
    if len(set(predicted)) == 1:
        warnings.warn(
            "every training example is given the same label; try other label words or another template",
            ConvergenceWarning,
            stacklevel=3,
        )


def hold_out(targets: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out, the same share of each class.

    Raises:
        SettingsError: too few examples to hold some out.

    >>> hold_out([0, 0, 0, 0, 1, 1, 1, 1], share=0.25, seed=0)
    ([3, 4, 6, 2, 1, 5], [7, 0])
    """
    try:
        chosen, held_out = train_test_split(
            range(len(targets)), test_size=share, stratify=targets, random_state=seed % 2**32
        )
    except ValueError as error:
        raise SettingsError(f"cannot hold out a share of {len(targets)} examples: {error}") from error
    return chosen, held_out


def _finished(history: Sequence[Record], settings: TrainingSettings) -> bool:
    if not history:
        return False
    if len(history) >= settings.epochs or history[-1]["loss"] < settings.stop_loss:
        return True
    if settings.early_stopping:
        losses = [record["validation_loss"] for record in history]
        return len(losses) - 1 - losses.index(min(losses)) >= settings.patience
    return False


def _progress(soft: SoftVectors, optimizer: torch.optim.Optimizer, best: Tensor, history: list[Record]) -> Progress:
    state = optimizer.state[soft.weight]
    tensors = {"weight": soft.weight.detach(), "best": best, **{k: state[k] for k in ("exp_avg", "exp_avg_sq")}}
    return Progress({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, history)


def _restore(progress: Progress, soft: SoftVectors, optimizer: torch.optim.Optimizer, step: int) -> Tensor:
    """Put vectors and optimiser back where they were; return the best vectors."""
    tensors = {name: tensor.to(soft.weight.device) for name, tensor in progress.tensors.items()}
    soft.weight.data.copy_(tensors["weight"])
    optimizer.state[soft.weight].update(
        step=torch.tensor(float(step)), exp_avg=tensors["exp_avg"], exp_avg_sq=tensors["exp_avg_sq"]
    )
    return tensors["best"]
