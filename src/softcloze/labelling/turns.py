"""Whose turn it is: held-out texts between the others, and the strategy of each of these."""

from collections.abc import Mapping

import numpy as np

from softcloze.labelling.learner import QuickFit
from softcloze.labelling.record import Lease, Record
from softcloze.labelling.selection import DEFAULT, Chosen, Space, Strategy, choose, random_text

HELD_OUT_EVERY = 3  # questions, of which one is about a text that is held out


def next_texts(
    count: int,
    record: Record,
    leases: Mapping[int, Lease],
    space: Space,
    fit: QuickFit | None,
    *,
    strategy: Strategy,
    multi_label: bool,
) -> list[Chosen]:
    """Choose texts that nobody has answered and nobody is shown, the first one first.

    Args:
        count: number of texts, at most.
        record: the answers so far.
        leases: open leases by the index of their text.
        space: of all texts.
        fit: the last head; None as long as none is fitted.
        strategy: as for `Labeller`.
        multi_label: a text may have several labels.
    """
    taken = [*record.given, *leases]
    open_ = np.ones(len(space.vectors), dtype=bool)
    open_[taken] = False
    held_out = np.zeros(len(open_), dtype=bool)
    held_out[list(record.held_out)] = True
    known = fit.labelled.rows if fit is not None else np.zeros(0, dtype=int)
    learnt = np.asarray([index for index in taken if not held_out[index]], dtype=int)
    new = learnt[~np.isin(learnt, known)].tolist()
    present = {label for answer in record.answers() for label in answer.labels}
    targets = {target for target, label in enumerate(record.labels) if label in present}
    chosen: list[Chosen] = []
    for turn in range(record.asked, record.asked + min(count, int(open_.sum()))):
        if turn % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 and (open_ & held_out).any():
            chosen.append((random_text(space, open_ & held_out), "held out"))
        else:
            found = choose(
                1,
                strategy=_strategy_of(turn, strategy, multi_label=multi_label),
                space=space,
                log_probabilities=fit.log_probabilities if fit is not None else None,
                margins=fit.margins if fit is not None else None,
                targets=targets,
                recent=np.asarray(new, dtype=int),
                open_=open_ & ~held_out,
                turn=turn,
            )
            chosen += found
            new += [index for index, _ in found]
        if chosen:
            open_[chosen[-1][0]] = False
    return chosen


def _strategy_of(turn: int, strategy: Strategy, *, multi_label: bool) -> Strategy:
    """The strategy of a turn; with several labels no classifier takes part in "uncertain"."""
    if multi_label and strategy != "random":
        return "uncertain" if turn % 2 == 0 else "random"
    return DEFAULT if strategy == "default" else strategy
