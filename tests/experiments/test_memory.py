import time

from softcloze.experiments.grid import MEMORY_INTERVAL, PeakMemory


def test_a_peak_that_is_gone_at_the_end_counts():
    with PeakMemory() as flat:
        time.sleep(3 * MEMORY_INTERVAL)
    with PeakMemory() as memory:
        block = bytearray(b"x") * 100_000_000
        deadline = time.monotonic() + 60  # the thread that samples may have to wait for its turn
        while memory.peak <= flat.peak + 80_000_000 and time.monotonic() < deadline:
            time.sleep(MEMORY_INTERVAL)
        del block
    assert memory.peak > flat.peak + 80_000_000
