"""What can be said of runs that share their held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.stats import false_discovery_control  # noqa: F401
