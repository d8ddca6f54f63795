"""Label texts: a frozen model estimates how good it is, finds doubtful labels, and can choose the texts."""

from softcloze.labelling.answers import Doubt, LabelledText, OtherAnswer, Predictions, Question, Renamed
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
    "OtherAnswer",
    "Predictions",
    "Question",
    "Renamed",
]
