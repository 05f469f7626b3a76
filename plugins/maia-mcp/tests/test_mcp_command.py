"""The command: what it prints to paste, and what it refuses."""

import json
import re
import shlex
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from maia_cli.main import maia
from maia_core.plugin import UsageError
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
    monkeypatch.setenv("MAIA_MCP_TOKEN", "the-token-of-the-server")
    done = invoke("--system", "efficientnet-lite0", "--http", "--port", "9999", "--print-config", host)
    assert "http://127.0.0.1:9999/mcp" in done.stdout
    assert "Bearer the-token-of-the-server" in done.stdout


@pytest.mark.parametrize("token", [None, " "])
def test_over_http_a_token_that_nobody_has_is_not_printed(invoke, monkeypatch, token):
    monkeypatch.delenv("MAIA_MCP_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("MAIA_MCP_TOKEN", token)
    done = invoke("--system", "efficientnet-lite0", "--http", "--print-config", "cursor")
    assert isinstance(done.exception, UsageError)
    assert "set MAIA_MCP_TOKEN to the server's token first" in str(done.exception)
    assert "Bearer" not in done.output


@pytest.mark.parametrize("token", ["short", "ein-schlüssel-mit-umlaut", "two\nlines-of-a-token"])
def test_a_token_that_protects_nothing_is_refused(invoke, monkeypatch, token):
    monkeypatch.setenv("MAIA_MCP_TOKEN", token)
    done = invoke("--system", "efficientnet-lite0", "--http")
    assert isinstance(done.exception, UsageError)
    assert "MAIA_MCP_TOKEN cannot be used" in str(done.exception)


def test_relative_paths_are_printed_in_full(invoke, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "other.toml").write_text('system = "efficientnet-lite0"\n[dataset]\nname = "folder"\npath = "photos"\n')
    done = invoke("--config", "other.toml", "-oruns=here", "--print-config", "cursor", "-o", "generator.size=64")
    assert done.exit_code == 0, done.output
    arguments = _server("cursor", done.stdout)[1:]
    assert arguments == [
        *("mcp", "-oruns=here", "-o", "generator.size=64", "--config", str(tmp_path / "other.toml")),
        *("-o", f"dataset.path={tmp_path / 'photos'}", "-o", f"runs={tmp_path / 'here'}"),
    ]


def test_a_relative_path_in_the_name_of_a_unit_is_refused(invoke, tmp_path):
    (tmp_path / "sae.pt").write_bytes(b"")
    done = invoke("--system", "efficientnet-lite0:head+sae=sae.pt:3", "--print-config", "cursor")
    assert isinstance(done.exception, UsageError)
    assert f"write {tmp_path / 'sae.pt'}" in str(done.exception)


def test_a_port_in_use_is_refused_before_anything_is_printed(invoke, monkeypatch):
    import socket

    monkeypatch.delenv("MAIA_MCP_TOKEN", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = invoke("--system", "efficientnet-lite0", "--http", "--port", str(port))
    assert isinstance(done.exception, UsageError)
    assert f"cannot listen on 127.0.0.1, port {port}" in str(done.exception)
    assert "serving" not in done.output
    assert "token" not in done.output


@pytest.mark.slow
def test_an_empty_token_becomes_a_new_one_that_is_printed(environment, tmp_path):
    import socket
    import subprocess
    import sys
    from pathlib import Path

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("maia"), "mcp", "--system", "efficientnet-lite0", "--http"]
    variables = environment | {"MAIA_MCP_TOKEN": " "}
    with subprocess.Popen(
        [*command, "--port", str(port)], env=variables, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as server:
        lines = [server.stderr.readline(), server.stderr.readline()]
        token = re.search("the token is (\\S{20,})", lines[1])
        request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp")
        request.add_header("Authorization", f"Bearer {token[1]}" if token else "")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        server.terminate()
    assert refused.value.code not in (401, 403, 421), "the server takes the token that it printed"


@pytest.mark.slow
def test_a_server_without_a_model_says_what_to_choose(environment, tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    maia_command = Path(sys.executable).with_name("maia")
    done = subprocess.run([maia_command, "mcp"], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--system MODEL" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("system", "why"),
    [("synthetic", "name what the neuron responds to"), ("discs:colours:redd", "has no unit 'redd'")],
)
def test_a_unit_that_does_not_exist_ends_the_server_at_its_start(make_desk, system, why):
    """The client would get an error of start_run that only the server's log explains."""
    with pytest.raises(UsageError, match=why):
        make_desk(system=system)
