"""Units of any torch module as MAIA systems. Importing this package does not import torch; making a model does."""

from maia_exemplars import Preprocessing
from maia_sae import Encoder
from maia_torch.layouts import Layout
from maia_torch.model import TorchModel
from maia_torch.unit import TorchUnit

__all__ = ["Encoder", "Layout", "Preprocessing", "TorchModel", "TorchUnit"]
