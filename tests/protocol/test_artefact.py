import hashlib

import pytest

from protocol.artefact import file_id, manifest_bytes, manifest_of, read_manifest
from protocol.errors import ProtocolError


def test_a_file_is_named_by_the_hash_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"text")
    assert file_id(tmp_path / "a") == hashlib.sha256(b"text").hexdigest()


def test_equal_folders_have_equal_manifests(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "b").write_text("b")
        (tmp_path / name / "a").write_text("a")
    one, two = (manifest_bytes(manifest_of(tmp_path / name)) for name in ("one", "two"))
    assert one == two
    assert list(read_manifest(one)) == ["a", "sub/b"]


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "a\\\\b", ""])
def test_a_manifest_that_leaves_its_folder_is_refused(path):
    content = f'{{"files": {{"{path}": "{"0" * 64}"}}}}'.encode()
    with pytest.raises(ProtocolError):
        read_manifest(content)


@pytest.mark.parametrize("identity", ["../../etc/passwd", "A" * 64, "0" * 63, "", 3])
def test_a_manifest_that_names_no_artefact_is_refused(identity):
    with pytest.raises(ProtocolError, match="no artefact"):
        read_manifest(manifest_bytes({"a": identity}))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": 3}', b"\xff"])
def test_bytes_that_are_no_manifest_are_refused(content):
    with pytest.raises(ProtocolError, match="not a folder's manifest"):
        read_manifest(content)
