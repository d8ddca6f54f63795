"""Start of a fit: its seed, and the key and digest of its checkpoint."""

import json
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from softcloze.files import validate_writable
from softcloze.parameters import NONE, SEED, instance_of
from softcloze.training import Checkpoint, TrainingSettings, TrainingTask, processes

RANDOM_STATE = SEED | instance_of("a numpy RandomState", np.random.RandomState) | NONE


class Start(NamedTuple):
    """Seed of a fit, and the key of its checkpoint if it has one; both are known before the model is loaded."""

    seed: int
    key: str


def start_of(
    described: tuple[object, ...], settings: TrainingSettings, random_state: int | np.random.RandomState | None
) -> Start:
    """Derive the seed of a fit and the key of its checkpoint, where it has one; of several processes in the first.

    Args:
        described: all that makes the fit what it is.
        settings: of the fit; the checkpoint of an interrupted one has the seed if `random_state` is None.
        random_state: of the fit.

    Raises:
        ProcessError: several processes share the fit, and differ in what makes it.
        CheckpointError: the checkpoint is damaged.
        FileError: its folder cannot be written.
    """
    given = None if random_state is None else seed_of(random_state)
    # an object without a representation of its own shows its address, which changes from run to run
    text = re.sub(" at 0x[0-9a-f]+", "", repr((given, *described)))
    key = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    processes().validate_same(key, "examples or parameters")

    def make() -> tuple[int, str]:
        seed = given
        if settings.checkpoint is not None:
            checkpoint = Checkpoint(settings.checkpoint, key)
            validate_writable(checkpoint.path)
            checkpoint.warn_of_others()
            progress = checkpoint.load()
            seed = progress.seed if progress is not None and given is None else given
        return seed if seed is not None else seed_of(None), key

    return Start(*processes().first_value(make))


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Derive a seed from `random_state`; None gives a random one. Global generators stay untouched."""
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def digest_of(training: Mapping[str, Any], task: TrainingTask, verbalizer: object) -> str:
    """Digest of everything that affects a fit, so that only the same fit resumes from a checkpoint."""
    digest = sha256(json.dumps([training, task.scorer.backbone.fingerprint], sort_keys=True).encode())
    digest.update(repr(verbalizer).encode())
    # demonstrations are part of the prompts
    encoded = [(prompt.chunks, prompt.token_type_ids, prompt.choices, prompt.answer) for prompt in task.prompts]
    digest.update(repr((task.scorer.words, encoded, task.targets.tolist())).encode())
    if task.weights is not None:
        digest.update(task.weights.numpy().tobytes())
    trained = [*(task.soft.parameters() if task.soft is not None else ()), *task.head.parameters()]
    for weight in trained:
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
