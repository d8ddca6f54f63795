import time

from softcloze.experiments.memory import INTERVAL, PeakMemory


def test_a_peak_that_is_gone_at_the_end_counts():
    with PeakMemory() as flat:
        time.sleep(3 * INTERVAL)
    with PeakMemory() as memory:
        block = bytearray(b"x") * 100_000_000
        time.sleep(4 * INTERVAL)
        del block
    assert memory.peak > flat.peak + 80_000_000
