"""A person as the backbone: `maia run --backbone human` in a terminal, `study(unit)` in a notebook."""

from maia_human.finished import Finished
from maia_human.notebook import study
from maia_human.proxies import Image
from maia_human.study import Study
from maia_human.study_run import StudyError
from maia_sandbox.texts import ToolError

__all__ = ["Finished", "Image", "Study", "StudyError", "ToolError", "study"]
