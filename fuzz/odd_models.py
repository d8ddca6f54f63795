"""Compare odd set-ups of models and tokenizers with plain transformers, or with the error that is expected.

Usage: python fuzz/odd_models.py [WORD ...]     (or: make architectures)

The set-ups are in tests/support/odd_models.py: resized and untied embeddings, padding, windows, positions, wrappers of
PEFT and torch, precisions, damaged folders. Words select those whose names contain one. One line reports the result for
each; the exit status is 1 if some differ.
"""

import sys
import tempfile
import warnings
from pathlib import Path

from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.odd_models import SETUPS, OddModel, largest_difference


def tried(entry: OddModel) -> tuple[bool, str]:
    """Return True if a set-up behaves as expected, and its difference or its error."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            difference = largest_difference(entry.build(Path(folder)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            return entry.refusal is not None and isinstance(error, entry.refusal[0]) and entry.refusal[
                1
            ] in message, message
    return entry.refusal is None and difference <= entry.tolerance, f"{difference:.0e} of {entry.tolerance:.0e}"


def main() -> int:
    """Print a line for each set-up and the number of those that are not as expected."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    wrong = 0
    names = [name for name in SETUPS if len(sys.argv) == 1 or any(word in name for word in sys.argv[1:])]
    for name in names:
        expected, why = tried(SETUPS[name])
        wrong += not expected
        print(f"{'as expected' if expected else 'WRONG':11}  {name:45}  {' '.join(why.split())[:120]}", flush=True)
    print(f"{len(names)} set-ups, {wrong} of them not as expected")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
