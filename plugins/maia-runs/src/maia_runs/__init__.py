"""Makes runs from configurations, resumes them, and signs their settings.

from maia_core.plugin import load
from maia_runs import explain

finished = explain(load())
"""

from maia_runs.launch import FinishedRun, explain, explain_in, folder_name, new_run_id, resume
from maia_runs.repeat import Repeated, merge, merged_labels, repeat, same_by
from maia_runs.signature import check_signature, local_secret, sign

__all__ = [
    "FinishedRun",
    "Repeated",
    "check_signature",
    "explain",
    "explain_in",
    "folder_name",
    "local_secret",
    "merge",
    "merged_labels",
    "new_run_id",
    "repeat",
    "resume",
    "same_by",
    "sign",
]
