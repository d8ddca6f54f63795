"""Settings of the interpreter for a process that only serves."""

import gc
import sys

_SWITCH_SECONDS = 0.0005  # Python's default is 0.005


def prepare_process() -> None:
    """Make this process answer evenly; call it once the model is loaded.

    - A thread that waits for the interpreter gets it after half a millisecond instead of five, so that the event loop
      does not wait for the thread of the model at each step of a request.
    - All objects of this moment are taken out of garbage collection. Those of the libraries are hundreds of thousands
      and live as long as the process; a full collection that looks at them stops all threads for a quarter of a second.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
