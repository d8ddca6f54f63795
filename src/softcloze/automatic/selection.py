"""Choice among trials by their cross-validated log loss."""

from collections.abc import Hashable, Sequence

import numpy as np

from softcloze.automatic.trials import Trial
from softcloze.prompt import Prompt

SIMPLICITY = ("words", "words+linear", "linear")  # heads, the simplest first: fewer weights learnt from the examples
STANDARD_ERRORS = 2.0  # that the members of an ensemble may be worse than the best


def choose_trials(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Choose a trial, or the members of an ensemble that averages their log-probabilities.

    Alone, it is the simplest one within one standard error of the least log loss: label words, then words with a linear
    layer, then the layer alone, a soft prompt after hard ones. Several are those of least log loss within two standard
    errors, the best one for each template and state: others are less different, and cost as much. With few examples the
    loss says little about which of them is best, and their average is better than most.

    What a trial costs to predict does not count: the cheapest within one standard error was worse on held-out rows than
    the simplest (docs/measurements/tasks.md).

    Args:
        trials: at least one.
        most: number of trials to choose, at most.

    Source:
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3: the rule of one
        standard error, here of the paired difference. Averages of log-probabilities: Heskes, NIPS 1997.
    """
    order = sorted(trials, key=lambda trial: trial.log_loss)
    best = order[0]
    if most == 1:
        within = [trial for trial in order if _excess(trial, best) <= _standard_error(trial, best)]
        return [min(within, key=lambda trial: (bool(trial.prompt.vectors), SIMPLICITY.index(trial.prompt.head)))]
    members: dict[Hashable, Trial] = {}
    for trial in order:
        if _excess(trial, best) <= STANDARD_ERRORS * _standard_error(trial, best):
            members.setdefault(_input(trial), trial)
    return [*members.values()][:most]


def _input(trial: Trial) -> Hashable:
    """The template and the state that a prompt takes; a probe is its own."""
    prompt = trial.prompt
    return (prompt.template, prompt.features) if isinstance(prompt, Prompt) else id(prompt)


def _excess(trial: Trial, best: Trial) -> float:
    return trial.log_loss - best.log_loss


def _standard_error(trial: Trial, best: Trial) -> float:
    """Standard error of the difference of the log losses of two trials, over the examples."""
    return float(np.std(trial.losses - best.losses) / np.sqrt(len(best.losses)))
