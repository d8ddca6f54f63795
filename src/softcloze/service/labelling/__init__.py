"""The page on which people label texts, served by this machine.

    from softcloze import Labeller
    from softcloze.service.labelling import serve_labelling

    with Labeller("starter:bert-tiny", texts, ["billing", "delivery"], folder="labelling") as labeller:
        serve_labelling(labeller, open_browser=True)

It needs `pip install 'softcloze[serve]'`.
"""

from softcloze.service.labelling.app import labelling_app
from softcloze.service.labelling.server import serve_labelling

__all__ = ["labelling_app", "serve_labelling"]
