"""The suite again as other users, where the tests themselves are run by root."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Only the right to read files stays: the interpreter may lie in root's own folder.
KEEP = "-all,+dac_read_search"
USERS = {
    "nobody": ["--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={KEEP}", f"--ambient-caps={KEEP}"],
    "root that may not trace": ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"],
}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the suite has just run as an ordinary user; its root half was not run")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize("user", USERS)
def test_suite_passes_as(user):
    suite = Path(__file__).with_name("test_sandbox_conformance.py")
    chosen = [] if user == "nobody" else ["-k", "after"]  # The programs that the kernel's word about the worker stops.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            ["setpriv", *USERS[user], sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp",
             f"{folder}/pytest", str(suite), *chosen],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
