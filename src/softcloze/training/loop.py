"""The training loop: it moves the soft vectors, a head where there is one, and nothing else."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from softcloze.backbone import Backbone, PrefixCache, shared_prefix
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.heads import Head, ThresholdHead
from softcloze.scoring import Scorer
from softcloze.soft import SoftVectors
from softcloze.training.checkpoint import TENSORS, Checkpoint, Progress, Record
from softcloze.training.settings import TrainingSettings

CACHE_MEMORY = 2 * 2**30
# bytes that a step on a processor keeps for its way back, if one row does not keep more; more at a time is no faster
STEP_MEMORY = 160 * 2**20


def train(
    soft: SoftVectors | None,
    head: Head,
    scorer: Scorer,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int] | Tensor,
    settings: TrainingSettings,
    *,
    checkpoint: Checkpoint | None = None,
    cache_memory: int = CACHE_MEMORY,
    on_cached: Callable[[PrefixCache], None] | None = None,
    on_epoch: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Train `soft` and `head` in place by cross-entropy over label scores.

    Args:
        soft: the vectors to train, None where the template has none; the model then reads each example once.
        head: makes label scores of features; trained as well where it has something to train.
        scorer: reads features off the frozen backbone.
        prompts: the encoded training examples.
        targets: the number of each example's label, or its probability of each label, shape (examples, labels); for
            a head of thresholds, of each label 1.0 or 0.0.
        settings: how to train.
        checkpoint: where progress is kept between epochs; an interrupted fit found there goes on.
        cache_memory: bytes that what stands before the first soft slot of all examples may take, which a causal model
            reads once; what takes more is kept in a file of the cache folder, which goes with the process.
        on_cached: called with what was read once, where there is something.
        on_epoch: called with each epoch's record.

    Source:
        AdamW: Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101; the mean of several steps: Polyak and Juditsky, SIAM
        Journal on Control and Optimization 30(4), 1992.

    Returns:
        One record per epoch: epoch (from 1), loss (nats per example, while training), accuracy and labels (how many
        of them some example was given; likewise), rate (share of the learning rate at its end), seconds, and with
        early stopping validation_loss.

    Raises:
        ParameterError: some soft slot gets no gradient.
        ParameterError: too few examples to hold some out.
        CheckpointError: the checkpoint is damaged.
    """
    from accelerate import Accelerator

    goal = torch.as_tensor(targets)
    chosen, held_out = list(range(len(goal))), list[int]()
    if settings.early_stopping:
        classes = goal if goal.dim() == 1 else goal.argmax(-1)
        chosen, held_out = hold_out(classes.tolist(), settings.validation_fraction, settings.seed)
    features = _Features(scorer, prompts, soft, cache_memory)
    if on_cached is not None and features.frozen is not None:
        on_cached(features.frozen)
    weights = _named(soft, head)
    accelerator = Accelerator(cpu=scorer.backbone.device.type == "cpu", device_placement=False)
    groups = _groups(soft, head, scorer.backbone, features, settings)
    # no weight decay: 0 is no special place among embeddings, nor among rows that start from words
    optimizer = accelerator.prepare_optimizer(torch.optim.AdamW(groups, weight_decay=0.0))
    steps_per_epoch = -(-len(chosen) // settings.batch_size)
    steps = steps_per_epoch * settings.epochs

    # a head alone comes to rest, and of epochs with a held-out loss the best is known
    averaged = settings.average_last_epochs if soft is not None and not held_out else 0
    first_averaged = max(0, settings.epochs - averaged) * steps_per_epoch
    kept = _copies(weights)  # what the fit ends with where that is not what the last step left
    history: list[Record] = []
    progress = checkpoint.load() if checkpoint is not None else None
    if checkpoint is not None and progress is not None:
        checkpoint.check(progress, weights)
        history = progress.history
        kept = _restore(progress, weights, optimizer, step=len(history) * steps_per_epoch)

    with scorer.backbone.frozen():
        while not _finished(history, settings):
            started = time.perf_counter()
            epoch = len(history)
            total, right, given = 0.0, 0, set[int]()
            order = np.random.default_rng([settings.seed, epoch]).permutation(chosen)
            for step, first in enumerate(range(0, len(order), settings.batch_size), start=epoch * steps_per_epoch):
                batch = order[first : first + settings.batch_size].tolist()
                for group in optimizer.param_groups:
                    group["lr"] = group["highest"] * settings.rate(step, steps)
                optimizer.zero_grad()
                for part in features.parts(batch):
                    scores = head.label_scores(features.of(part))
                    loss = _loss(head, scores, goal[part]) * len(part)
                    accelerator.backward(loss / len(batch))
                    total += float(loss.detach())
                    right += int(_hits(head, scores, goal[part]).sum())
                    given |= _given(head, scores)
                if step == 0 and soft is not None:
                    soft.check_gradient()
                for group in optimizer.param_groups:
                    accelerator.clip_grad_norm_(group["params"], settings.max_grad_norm)
                optimizer.step()
                if step >= first_averaged:
                    for name, weight in weights.items():
                        kept[name].lerp_(weight.detach(), 1 / (step - first_averaged + 1))
            record: Record = {
                "epoch": epoch + 1,
                "loss": total / len(order),
                "accuracy": right / len(order),
                "labels": len(given),
            }
            if held_out:
                with torch.no_grad():
                    scores = head.label_scores(features.without_gradient(held_out))
                record["validation_loss"] = float(_loss(head, scores, goal[held_out]))
                if record["validation_loss"] < min((r["validation_loss"] for r in history), default=float("inf")):
                    kept = _copies(weights)
            record["rate"] = settings.rate((epoch + 1) * steps_per_epoch - 1, steps)
            record["seconds"] = time.perf_counter() - started
            history.append(record)
            if checkpoint is not None:
                checkpoint.save(_progress(weights, optimizer, kept, history))
            if on_epoch is not None:
                on_epoch(record)
    if len(history) * steps_per_epoch > first_averaged or held_out:
        for name, weight in weights.items():
            weight.data.copy_(kept[name])
    if checkpoint is not None:
        checkpoint.discard()
    return history


class _Features:
    """What a head reads of the training examples: anew at each step, or once where no soft slot changes it."""

    def __init__(self, scorer: Scorer, prompts: Sequence[EncodedPrompt], soft: SoftVectors | None, cache_memory: int):
        self._scorer, self._prompts, self._soft = scorer, prompts, soft
        self.sample = list(range(len(prompts)))[:32]  # rows that tell how large features are
        self.frozen: PrefixCache | None = None  # what stands before the first soft slot
        with scorer.backbone.frozen():
            if soft is not None:
                soft.to(scorer.backbone.device)
                self.frozen = scorer.read_frozen(prompts, cache_memory)
                self._known = self.frozen.lengths.tolist() if self.frozen is not None else [0] * len(prompts)
                packed = self.frozen is None and scorer.backbone.can_pack
                self._shared = shared_prefix([prompt.left for prompt in prompts]) if packed else 0
            else:
                self._fixed = scorer.all(prompts, [None])[0]

    def parts(self, rows: list[int]) -> list[list[int]]:
        """A batch in parts of like length, whose gradients add up to its own and take less memory one by one."""
        backbone = self._scorer.backbone
        if self._soft is None or backbone.device.type != "cpu":  # an accelerator wants as much at a time as it can get
            return [rows]
        cost = {row: self._scorer.cost(self._prompts[row], self._known[row]) for row in rows}
        together = sum(cost.values()) - self._shared * (len(rows) - 1)
        parts = -(-together * backbone.trace // STEP_MEMORY)
        ordered = sorted(rows, key=cost.__getitem__)
        return [part.tolist() for part in np.array_split(ordered, min(parts, len(rows)))]

    def of(self, rows: list[int]) -> Tensor:
        """Features of some examples, differentiable in the soft vectors, shape (rows, features)."""
        if self._soft is None:
            return self._fixed[rows]
        return self._scorer.batch([self._prompts[i] for i in rows], self._soft.weight, self.frozen, rows).cpu()

    def without_gradient(self, rows: list[int]) -> Tensor:
        """The same in batches of like length."""
        if self._soft is None:
            return self._fixed[rows]
        with self._scorer.backbone.frozen():
            return self._scorer.all([self._prompts[i] for i in rows], [self._soft.weight])[0]


def _loss(head: Head, scores: Tensor, goal: Tensor) -> Tensor:
    """Nats: of the label where there is one, of the average label where there may be several."""
    several = isinstance(head, ThresholdHead)
    return binary_cross_entropy_with_logits(scores, goal) if several else cross_entropy(scores, goal)


def _hits(head: Head, scores: Tensor, goal: Tensor) -> Tensor:
    """Which examples have the label that is the goal, or is likeliest there, or all those that are, shape (batch,)."""
    if isinstance(head, ThresholdHead):
        return ((scores > 0) == (goal > 0)).all(-1)
    return scores.argmax(-1) == (goal if goal.dim() == 1 else goal.argmax(-1))


def _given(head: Head, scores: Tensor) -> set[int]:
    """The numbers of the labels that some example is given."""
    labels = (scores > 0).any(0).nonzero() if isinstance(head, ThresholdHead) else scores.argmax(-1)
    return set(labels.flatten().tolist())


def _named(soft: SoftVectors | None, head: Head) -> dict[str, nn.Parameter]:
    """Everything that is trained, by name."""
    own = {"soft": soft.weight} if soft is not None else {}
    return own | {f"head/{name}": weight for name, weight in head.named_parameters()}


def _groups(
    soft: SoftVectors | None, head: Head, backbone: Backbone, features: _Features, settings: TrainingSettings
) -> list[dict[str, Any]]:
    """The weights of each kind with their highest step."""
    groups: list[dict[str, Any]] = []
    if soft is not None:
        groups.append({"params": [soft.weight], "highest": settings.learning_rate * backbone.embedding_rms})
    if own := list(head.parameters()):
        # a step moves every number of a row alike, so that a score moves by the sum of the state's numbers
        reach = float(features.without_gradient(features.sample).abs().sum(-1).mean())
        groups.append({"params": own, "highest": settings.head_learning_rate / reach})
    return groups


def warn_if_stuck(history: Sequence[Record], settings: TrainingSettings) -> None:
    """Warn when training did not learn: the loss did not fall, or every example got the same label to the end."""
    first, last = history[0]["loss"], history[-1]["loss"]
    if len(history) > 1 and last > 0.99 * first and last > settings.target_loss:
        warnings.warn(
            f"the training loss did not fall ({first:.3f} nats in the first epoch, {last:.3f} in the last); "
            "try another template, other label words or more epochs",
            ConvergenceWarning,
            stacklevel=4,
        )
    if len(history) > 1 and history[-1]["labels"] == 1:  # in one epoch the first steps have not learnt anything yet
        warnings.warn(
            "every training example was given the same label in the last epoch; try other label words or another "
            "template",
            ConvergenceWarning,
            stacklevel=4,
        )


def hold_out(targets: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out, the same share of each class.

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


def _finished(history: Sequence[Record], settings: TrainingSettings) -> bool:
    if not history:
        return False
    if len(history) >= settings.epochs or history[-1]["loss"] < settings.target_loss:
        return True
    if settings.early_stopping:
        losses = [record["validation_loss"] for record in history]
        return len(losses) - 1 - losses.index(min(losses)) >= settings.patience
    return False


def _copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in weights.items()}


def _progress(
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, Tensor],
    history: list[Record],
) -> Progress:
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        state = optimizer.state[weight]
        kinds = dict(zip(TENSORS, (weight.detach(), kept[name], state["exp_avg"], state["exp_avg_sq"]), strict=True))
        tensors |= {f"{name}/{kind}": tensor.cpu().contiguous() for kind, tensor in kinds.items()}
    return Progress(tensors, history)


def _restore(
    progress: Progress, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, step: int
) -> dict[str, Tensor]:
    """Put weights and optimiser back where they were; return the kept weights."""
    kept = {}
    for name, weight in weights.items():
        now, kept[name], mean, square = (progress.tensors[f"{name}/{kind}"].to(weight.device) for kind in TENSORS)
        weight.data.copy_(now)
        optimizer.state[weight].update(step=torch.tensor(float(step)), exp_avg=mean, exp_avg_sq=square)
    return kept
