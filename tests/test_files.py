"""Files that MAIA opens in a folder from elsewhere."""

import os

import pytest

from maia_core.files import open_plain, plain_folder, write_atomically, write_new


@pytest.fixture
def victim(tmp_path):
    (tmp_path / "victim").write_text("the user's")
    return tmp_path / "victim"


@pytest.mark.parametrize("mode", ["rb", "ab", "r+b"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device", "folder"])
def test_only_a_regular_file_is_opened(tmp_path, victim, mode, kind):
    path = tmp_path / "lock"
    match kind:
        case "link":
            path.symlink_to(victim)
        case "dangling link":
            path.symlink_to(tmp_path / "new")
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    with pytest.raises(OSError, match=r"link|pipe|regular file|directory"):
        open_plain(path, mode)
    assert victim.read_text() == "the user's"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_file_with_a_second_name_is_not_written(tmp_path, victim, mode):
    os.link(victim, tmp_path / "lock")
    with pytest.raises(OSError, match="second name"):
        open_plain(tmp_path / "lock", mode)
    assert open_plain(tmp_path / "lock").read() == b"the user's"


def test_a_file_that_is_there_is_kept(tmp_path):
    for text in (b"one", b"two"):
        with open_plain(tmp_path / "file", "ab") as file:
            file.write(text)
    with open_plain(tmp_path / "file", "r+b") as file:
        assert file.read() == b"onetwo"


def test_a_linked_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    assert plain_folder(tmp_path / "real") == plain_folder(tmp_path / "new" / "deeper").parent.parent / "real"
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        plain_folder(tmp_path / "linked")


def test_the_first_file_of_a_name_stays(tmp_path):
    assert write_new(tmp_path / "file", b"first")
    assert not write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path, linked):
    """As root `--out /dev/stdout` or `/dev/null` took them from the machine."""
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(path, b"x")
    assert pipe.is_fifo()
    assert path.is_symlink() == linked
