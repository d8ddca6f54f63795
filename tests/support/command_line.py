"""The command line without the seconds of its imports: commands in the process of the tests."""

import subprocess
import sys
import warnings
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper

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


def run_as_script(arguments, folder, *, cwd, env):
    """The command in this process with streams of its own, as the installed script has them without a terminal.

    Its imports, which take a process of its own seconds, are those of the tests. What libraries read from the
    environment while they are imported is theirs too.

    Args:
        arguments: of the command.
        folder: for the output.
        cwd: the working folder.
        env: changes of the environment.

    Returns:
        The finished process, as of `subprocess.run`.
    """
    outputs = [folder / name for name in ("stdout", "stderr")]
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(cwd)
        for name, value in env.items():
            patch.setenv(name, value)
        for path in outputs:  # the command takes the stream of its messages apart
            file = stack.enter_context(path.open("wb"))
            patch.setattr(sys, path.name, TextIOWrapper(file, encoding=encoding))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        exit_code = run_here(*arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    texts = [path.read_text(encoding=encoding) for path in outputs]
    return subprocess.CompletedProcess(["softcloze", *arguments], exit_code, *texts)
