"""What another company's plugins look like. Importing any of them leaves a file behind, so that tests notice."""

import os
from pathlib import Path

if "ACME_CANARY" in os.environ:
    Path(os.environ["ACME_CANARY"]).touch()
