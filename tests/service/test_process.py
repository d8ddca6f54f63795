import gc
import sys

from softcloze.service.process import prepare_process


def test_collections_look_at_nothing_that_was_there_and_threads_change_often():
    frozen, before, kept = gc.get_freeze_count(), sys.getswitchinterval(), [[] for _ in range(1000)]
    try:
        prepare_process()
        assert sys.getswitchinterval() <= 0.001
        assert gc.get_freeze_count() >= frozen + len(kept)
        tracked = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in tracked for one in kept)
    finally:
        sys.setswitchinterval(before)
