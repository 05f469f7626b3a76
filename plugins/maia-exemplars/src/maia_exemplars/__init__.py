"""The exemplar index: what all units of a layer do over a data set, measured in one pass and stored on disk.

`measured.py` says what the index asks of a model; `build.py` makes an index, `layer.py` reads one, `merge.py` joins the
parts that several machines measured, `source.py` serves a run. Nothing here imports torch.
"""

from maia_exemplars.brute_force import BruteForce, exemplar_source, statistics
from maia_exemplars.measured import IndexableModel, MeasuredLayer, Measurer
from maia_exemplars.preprocess import Preprocessing
from maia_exemplars.source import LayerExemplars
from maia_exemplars.together import measure_together

__all__ = [
    "BruteForce",
    "IndexableModel",
    "LayerExemplars",
    "MeasuredLayer",
    "Measurer",
    "Preprocessing",
    "exemplar_source",
    "measure_together",
    "statistics",
]
