"""Run `python -m softcloze` as the command `softcloze`."""

from softcloze.cli import main

main()
