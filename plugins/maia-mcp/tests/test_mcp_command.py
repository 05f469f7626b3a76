"""The command: what it prints to paste, and what it refuses."""

import json
import shlex

import pytest
from click.testing import CliRunner

from maia_cli.main import maia
from maia_mcp.hosts import HOSTS


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAIA_CACHE", raising=False)

    def run(*arguments):
        return CliRunner().invoke(maia, ["mcp", *arguments])

    return run


def _server(host, printed):
    """Returns the command of a server, as the host reads it."""
    if host == "claude-code":
        words = shlex.split(printed)
        assert words[:5] == ["claude", "mcp", "add", "maia", "--"]
        return words[5:]
    if host == "vscode":
        code, add, text = shlex.split(printed)
        assert (code, add) == ("code", "--add-mcp")
        server = json.loads(text)
        assert server["name"] == "maia"
    else:
        server = json.loads(printed)["mcpServers"]["maia"]
    return [server["command"], *server["args"]]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("form", ["apart", "together"])
def test_what_is_printed_starts_this_server(invoke, tmp_path, host, form):
    asked = [f"--print-config={host}"] if form == "together" else ["--print-config", host]
    done = invoke("--system", "efficientnet-lite0", *asked, "--images", "link", "-o", "limits.turns=60")
    assert done.exit_code == 0, done.output
    program, *arguments = _server(host, done.stdout)
    assert program.endswith("maia")
    kept = ["mcp", "--system", "efficientnet-lite0", "--images", "link", "-o", "limits.turns=60"]
    assert arguments == [*kept, "-o", f"runs={tmp_path / 'runs'}"]


def test_a_configuration_file_is_named_in_full(invoke, tmp_path):
    (tmp_path / "maia.toml").write_text('system = "efficientnet-lite0"\n')
    done = invoke("--print-config", "claude-code")
    assert f"--config {tmp_path / 'maia.toml'}" in done.stdout


@pytest.mark.parametrize("host", HOSTS)
def test_a_cache_of_one_s_own_goes_along(invoke, monkeypatch, tmp_path, host):
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    printed = invoke("--system", "efficientnet-lite0", "--print-config", host).stdout
    if host == "claude-code":
        assert shlex.split(printed)[4:7] == ["--env", f"MAIA_CACHE={tmp_path / 'cache'}", "--"]
    else:
        assert f'"MAIA_CACHE": "{tmp_path / "cache"}"' in printed


@pytest.mark.parametrize("host", HOSTS)
def test_over_http_the_token_is_part_of_it(invoke, monkeypatch, host):
    monkeypatch.setenv("MAIA_MCP_TOKEN", "the-token")
    done = invoke("--system", "efficientnet-lite0", "--http", "--port", "9999", "--print-config", host)
    assert "http://127.0.0.1:9999/mcp" in done.stdout
    assert "Bearer the-token" in done.stdout


def test_a_server_without_a_model_says_what_to_choose(environment, tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    maia_command = Path(sys.executable).with_name("maia")
    done = subprocess.run([maia_command, "mcp"], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--system MODEL" in done.stderr
    assert done.stdout == ""
