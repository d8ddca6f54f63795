"""The command line without the seconds of its imports: a process that has them all is forked for each command."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context

import pytest

from softcloze.cli import main
from softcloze.cli.resumable import ResumableOutput


def run_here(*arguments):
    """The command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["softcloze", *map(str, arguments)])
        main()
    return stop.value.code


@contextmanager
def around_windows(before=lambda: None, after=lambda: None):
    """Call `before` and `after` around the saving of each window of rows."""
    append = ResumableOutput.append

    def append_between(self, window):
        before()
        append(self, window)
        after()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumableOutput, "append", append_between)
        yield


@contextmanager
def interrupted_after_a_window():
    """Interrupt a run as Ctrl-C does when it has saved one window of rows."""
    windows = iter([False, True])

    def interrupt():
        if next(windows):
            raise KeyboardInterrupt

    with around_windows(before=interrupt):
        yield


class CommandLine:
    """A process that has imported what the commands need, and runs each in a fork of itself.

    A command sees its own arguments, working folder, environment and output, as the installed script does; only what
    libraries read from the environment while they are imported is that of the tests.
    """

    def __init__(self, folder, environment):
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", "from support.command_line import serve; serve()"],
            env=os.environ | environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, arguments, *, cwd, env):
        """The finished process, as of `subprocess.run`."""
        outputs = [self._folder / name for name in ("stdout", "stderr")]
        order = {"argv": ["softcloze", *arguments], "cwd": str(cwd), "env": env, "outputs": [*map(str, outputs)]}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        exit_code = int(self._server.stdout.readline())
        texts = [path.read_text(encoding=env["PYTHONIOENCODING"]) for path in outputs]
        return subprocess.CompletedProcess(order["argv"], exit_code, *texts)

    def close(self):
        self._server.kill()
        self._server.communicate()


def serve():
    """Fork for each line of standard input, and answer with the exit code."""
    for name in ("datasets", "sklearn", "transformers", "softcloze.experiments"):
        import_module(name)
    for name in ("AutoModelForMaskedLM", "BertForMaskedLM", "PreTrainedTokenizerFast"):  # transformers is lazy
        getattr(import_module("transformers"), name)
    for line in sys.stdin:
        command = get_context("fork").Process(target=_run, kwargs=json.loads(line))
        command.start()
        command.join()
        sys.stdout.write(f"{command.exitcode}\n")
        sys.stdout.flush()


def _run(argv, cwd, env, outputs):
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in zip((sys.stdout, sys.stderr), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
        stream.reconfigure(encoding=env["PYTHONIOENCODING"])
    sys.argv = argv
    main()
