"""Processes that a launcher, such as torchrun or accelerate launch, started together."""

import os

from softcloze.errors import ProcessError


def process_count() -> int:
    """Number of the processes that a launcher started together: the variable WORLD_SIZE, 1 without one.

    Raises:
        ProcessError: the variable is not a number of processes.
    """
    return _variable("WORLD_SIZE", 1, at_least=1)


def process_rank() -> int:
    """Index of this process among them: the variable RANK; raises as `process_count`."""
    return _variable("RANK", 0, at_least=0)


def validate_one_process(what: str) -> None:
    """Raise ProcessError if this process is one of several that a launcher started together.

    Args:
        what: the work that each of them would do alone.
    """
    if (count := process_count()) > 1:
        raise ProcessError(
            f"{what} runs in one process, and this is one of {count} that a launcher started (WORLD_SIZE={count}): "
            "each would do all of the work, and write the same files; start it without torchrun or accelerate launch, "
            "or unset WORLD_SIZE if nothing else runs"
        )


def _variable(name: str, default: int, at_least: int) -> int:
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < at_least:
        raise ProcessError(
            f"the environment variable {name} is {text!r:.40}, and a launcher such as torchrun sets a number of at "
            f"least {at_least}; unset it"
        )
    return int(text)
