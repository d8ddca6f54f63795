"""Keys for labelling, the same in the terminal and on the page."""

import string

COMMANDS = {
    "?": "guess",
    "u": "undo",
    "s": "skip",
    "n": "note",
    "+": "new label",
    "=": "rename a label",
    "/": "label by name",
    "v": "whole text",
    "d": "doubtful labels",
    "e": "estimate",
    "f": "finish",
    "q": "quit",
}
LABEL_KEYS = "1234567890" + "".join(letter for letter in string.ascii_lowercase if letter not in COMMANDS)
