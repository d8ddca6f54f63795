"""`softcloze serve` as a process, on a core of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from softcloze.registry import Registry

_CORES = sorted(os.sched_getaffinity(0))  # when this is imported


def use_core(index: int) -> None:
    """Run this thread, and the threads and processes that it starts, on one core: the first, or another one."""
    os.sched_setaffinity(0, {_CORES[index % len(_CORES)]})


class Server:
    """`softcloze serve` in a process with one thread of torch, on the first core."""

    def __init__(self, registry: Registry, model: str, *options: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "softcloze", "serve", str(registry.folder), "--port", str(self.port)]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        cores = os.sched_getaffinity(0)
        use_core(0)
        self._process = subprocess.Popen([*command, "--model", model, *options], stderr=self._log, env=environment)
        os.sched_setaffinity(0, cores)
        while not self._answers():
            assert self._process.poll() is None, self._log.seek(0) or self._log.read()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port)):
                return True
        except OSError:
            return False

    @property
    def cpu_seconds(self) -> float:
        """Seconds of processor that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Memory of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds that it took."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        return code, time.monotonic() - started
