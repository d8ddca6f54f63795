"""Label texts: a frozen model chooses them, estimates how good it is, and finds doubtful labels."""

from softcloze.labelling.answers import Doubt, LabelledText, Predictions, Question
from softcloze.labelling.doubts import Neighbour
from softcloze.labelling.estimate import CurvePoint, Estimate, Forecast
from softcloze.labelling.labeller import Labeller

__all__ = [
    "CurvePoint",
    "Doubt",
    "Estimate",
    "Forecast",
    "LabelledText",
    "Labeller",
    "Neighbour",
    "Predictions",
    "Question",
]
