"""A person as the backbone: `maia run --backbone human` in a terminal, `study(unit)` in a notebook."""

from maia_human.crossing import Image
from maia_human.notebook import study
from maia_human.run import Finished, Study, StudyError
from maia_sandbox.texts import ToolError

__all__ = ["Finished", "Image", "Study", "StudyError", "ToolError", "study"]
