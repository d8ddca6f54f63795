import gc
import sys

from softcloze.service.process import prepare_process


def test_collections_look_at_nothing_that_was_there_and_threads_change_often():
    before, kept = sys.getswitchinterval(), [[] for _ in range(1000)]
    try:
        prepare_process()
        assert sys.getswitchinterval() <= 0.001
        assert gc.get_freeze_count() > len(kept)
        tracked = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in tracked for one in kept)
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
