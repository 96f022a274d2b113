"""Packs as one file: the same bytes everywhere, nothing hostile read, nothing replaced in silence."""

import hashlib
import io
import json
import os
import shutil
import stat
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pack import FILES, swap, write
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.errors import InvalidInput, ShoalError, Unsupported
from shoal.packs.load import load_pack
from shoal.packs.sharing import bundle as format_of
from shoal.packs.sharing.bundle import read_bundle, write_bundle
from shoal.packs.sharing.installing import export_pack, install_pack, list_installed, make_bundle
from shoal.runtime.deployment import find_pack

CHILD = 'format: shoal.pack\nversion: 1\nname: kid\npack_version: "1.0"\ndescription: x\nextends: ["small >=1"]\n'


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOAL_PACKS", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def exported(tmp_path, files=None, name="p"):
    folder = write(tmp_path / name, files)
    target = tmp_path / f"{name}.shoalpack"
    _, sha256 = export_pack(folder, target)
    return target, sha256


def test_the_bytes_are_a_function_of_the_contents(tmp_path):
    one, sha256 = exported(tmp_path)
    other = tmp_path / "other"
    for name, text in reversed(FILES.items()):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
        os.utime(other / name, (1, 1))
        (other / name).chmod(0o600)
    (other / ".hidden").write_text("not a part of it")
    assert export_pack(other, tmp_path / "o.shoalpack")[1] == sha256
    assert (tmp_path / "o.shoalpack").read_bytes() == one.read_bytes()
    assert hashlib.sha256(one.read_bytes()).hexdigest() == sha256
    with zipfile.ZipFile(one) as archive:  # any ZIP tool can look into it
        assert archive.namelist() == ["manifest.json", *sorted(FILES)]
        manifest = json.loads(archive.read("manifest.json"))
    assert (manifest["format"], manifest["version"]) == ("shoal.packfile", 1)
    assert manifest["hash"] == load_pack(other).hash


def test_an_installed_pack_is_found_by_name(home, tmp_path):
    path, sha256 = exported(tmp_path)
    shutil.rmtree(tmp_path / "p")
    found = install_pack(path, sha256=sha256)
    assert found.fresh
    assert found.folder == home / "small" / "1"
    assert load_pack("small").hash == found.manifest["hash"]
    assert find_pack("small") == found.folder
    assert load_pack(find_pack("small")).name == "small"
    assert not install_pack(path).fresh
    assert [one.manifest["name"] for one in list_installed()] == ["small"]
    assert sorted(os.listdir(home)) == ["small"]


def test_the_highest_version_that_fits(home, tmp_path):
    for version in ("1.9", "1.10", "2.0"):
        install_pack(
            exported(tmp_path, swap("pack.yaml", 'pack_version: "1"', f'pack_version: "{version}"'), f"p{version}")[0]
        )
    assert load_pack("small").version == "2.0"
    assert load_pack("small <2").version == "1.10"
    assert load_pack("small ==1.9").version == "1.9"
    with pytest.raises(InvalidInput, match=r"installed: 2\.0, 1\.10, 1\.9"):
        load_pack("small >=3")


def test_other_content_under_the_same_version_is_refused(home, tmp_path):
    first, _ = exported(tmp_path)
    second, _ = exported(tmp_path, swap("policy.yaml", "evidence: 12h", "evidence: 13h"), "q")
    install_pack(first)
    before = load_pack("small").hash
    with pytest.raises(InvalidInput, match="other_content"):
        install_pack(second)
    assert load_pack("small").hash == before
    install_pack(second, replace=True)
    assert load_pack("small").hash != before
    assert sorted(os.listdir(home)) == ["small"]
    assert os.listdir(home / "small") == ["1"]


def test_a_pin_that_differs(home, tmp_path):
    path, sha256 = exported(tmp_path)
    with pytest.raises(InvalidInput, match=r"packfile\.sha256"):
        install_pack(path, sha256="0" * 64)
    assert not home.exists()
    install_pack(path, sha256=sha256.upper())


def test_parents_must_be_here_and_the_same(home, tmp_path):
    base, _ = exported(tmp_path)
    install_pack(base)
    folder = tmp_path / "kid"
    folder.mkdir()
    (folder / "pack.yaml").write_text(CHILD)
    path = tmp_path / "kid.shoalpack"
    bundle, _ = export_pack(folder, path)
    assert [(p.name, p.version) for p in bundle.parents] == [("small", "1")]
    assert install_pack(path).fresh
    assert load_pack("kid").hash == load_pack("small").hash
    shutil.rmtree(home)
    with pytest.raises(InvalidInput, match=r"no pack 'small >=1'"):
        install_pack(path)
    changed, _ = exported(tmp_path, swap("policy.yaml", "evidence: 12h", "evidence: 13h"), "q")
    install_pack(changed)
    with pytest.raises(InvalidInput, match="it was exported over small 1"):
        install_pack(path)
    assert sorted(os.listdir(home)) == ["small"]


def test_into_another_folder(home, tmp_path):
    base, _ = exported(tmp_path)
    install_pack(base, tmp_path / "elsewhere")
    assert not home.exists()
    assert (tmp_path / "elsewhere" / "small" / "1" / "pack.yaml").is_file()


def test_what_is_not_exported(home, tmp_path):
    write(tmp_path / "base")
    folder = tmp_path / "kid"
    folder.mkdir()
    (folder / "pack.yaml").write_text(CHILD.replace("small >=1", "../base"))
    with pytest.raises(InvalidInput, match="path_parent"):
        make_bundle(folder)
    with pytest.raises(InvalidInput, match="pack_version"):
        make_bundle(write(tmp_path / "v", swap("pack.yaml", 'pack_version: "1"', 'pack_version: "../1"')))
    with pytest.raises(InvalidInput, match=r"pack\.choice"):
        make_bundle(write(tmp_path / "b", swap("policy.yaml", "role: perpetrator", "role: thief")))
    with pytest.raises(InvalidInput, match=r"packfile\.write"):
        export_pack(tmp_path / "base", tmp_path / "no" / "x")
    linked = write(tmp_path / "l")
    os.symlink("/etc/passwd", linked / "notes.md")
    with pytest.raises(InvalidInput, match="a link"):
        make_bundle(linked)


def test_what_is_not_installed(home, tmp_path):
    sound = make_bundle(write(tmp_path / "p"))

    def refused(match, **changed):
        path = tmp_path / "x.shoalpack"
        path.write_bytes(write_bundle(format_of.Bundle(**{**vars(sound), **changed})))
        with pytest.raises(InvalidInput, match=match):
            install_pack(path)
        assert not home.exists() or os.listdir(home) == []

    refused("taken_name", name="file_sharing")
    refused("the manifest says other 1", name="other")
    refused("the manifest says small 7", version="7")
    refused("other_hash", hash="0" * 16)
    files = dict(sound.files)
    refused(r"pack\.duration", files={**files, "policy.yaml": files["policy.yaml"].replace(b"lease: 10m", b"lease: x")})
    refused(r"pack\.unknown_file", files={**files, "rules/a.txt": b"x"})
    neighbour = files["pack.yaml"] + b"extends: [../../../secret]\n"
    refused("no neighbours by path", files={**files, "pack.yaml": neighbour})
    with pytest.raises(InvalidInput, match=r"packfile\.read"):
        install_pack(tmp_path / "nothing")


def archive(entries, **more):
    """A ZIP with any entries: (name, data, changes of its header)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, data, changes in entries:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            for key, value in changes.items():
                setattr(entry, key, value)
            target.writestr(entry, data)
        target.comment = more.get("comment", b"")
    return stream.getvalue()


def manifest(contents, **changed):
    told = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    plain = {"format": "shoal.packfile", "version": 1, "name": "a", "pack_version": "1", "hash": "0" * 16,
             "content_sha256": "0" * 64, "parents": [], "files": told}  # fmt: skip
    return json.dumps({**plain, **changed}).encode()


FILE = {"pack.yaml": b"a"}
GOOD = ("manifest.json", manifest(FILE), {})
HOSTILE = [
    (b"", "packfile.damaged"),
    (b"not a zip", "packfile.damaged"),
    (b"PK\x03\x04" + b"\0" * 40, "packfile.damaged"),
    (archive([]), "packfile.manifest"),
    (archive([("pack.yaml", b"a", {})]), "packfile.manifest"),
    (archive([GOOD, ("../pack.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("rules/../../x.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("/etc/x.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("C:\\x.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("rules\\x.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("rules/", b"", {})]), "packfile.name"),
    (archive([GOOD, ("deep/er/x.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, (".manifest.json", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("run.py", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("pack.yaml\n", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("ünï.yaml", b"a", {})]), "packfile.name"),
    (archive([GOOD, ("pack.yaml", b"a", {"external_attr": (stat.S_IFLNK | 0o777) << 16})]), "packfile.link"),
    (archive([GOOD, ("pack.yaml", b"a" * 100, {"compress_type": zipfile.ZIP_DEFLATED})]), "packfile.compressed"),
    (archive([GOOD, ("pack.yaml", b"\0" * 900_000, {"compress_type": zipfile.ZIP_LZMA})]), "packfile.compressed"),
    (archive([GOOD, ("pack.yaml", b"a" * ((1 << 20) + 1), {})]), "packfile.too_large"),
    (archive([GOOD, *((f"a{i}.md", b"", {}) for i in range(501))]), "packfile.too_many"),
    (archive([GOOD, ("Pack.yaml", b"a", {}), ("pack.yaml", b"a", {})]), "packfile.duplicate"),
    (b"x" * ((16 << 20) + 1), "packfile.too_large"),
    (archive([("manifest.json", b"{", {})]), "packfile.manifest"),
    (archive([("manifest.json", b"[" * 100_000, {})]), "packfile.manifest"),
    (archive([("manifest.json", b"[]", {})]), "packfile.format"),
    (archive([("manifest.json", manifest({}, format="tar"), {})]), "packfile.format"),
    (archive([("manifest.json", manifest({}, name="../x"), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, pack_version="../x"), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, pack_version=1), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, hash="x"), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, parents=[{"name": "a"}]), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, parents=5), {})]), "packfile.manifest"),
    (archive([("manifest.json", manifest({}, files=[1]), {})]), "packfile.manifest"),
    (archive([GOOD]), "packfile.files"),
    (archive([("manifest.json", manifest({}), {}), ("pack.yaml", b"a", {})]), "packfile.files"),
    (archive([GOOD, ("pack.yaml", b"b", {})]), "packfile.checksum"),
    (archive([GOOD, ("pack.yaml", b"a", {})]), "packfile.form"),  # its content_sha256 is not that of its files
]  # fmt: skip


@pytest.mark.parametrize(("data", "slug"), HOSTILE, ids=[f"{i} {slug}" for i, (_, slug) in enumerate(HOSTILE)])
def test_hostile_files(data, slug):
    with pytest.raises(InvalidInput) as caught:
        read_bundle(data, "x.shoalpack")
    assert [p.slug for p in caught.value.problems] == [slug]
    assert caught.value.problems[0].where.file == "x.shoalpack"


def test_a_name_given_twice(recwarn):
    data = archive([GOOD, ("pack.yaml", b"a", {}), ("pack.yaml", b"a", {})])
    recwarn.clear()  # the writer of this test warns, as it should
    with pytest.raises(InvalidInput, match=r"packfile\.duplicate"):
        read_bundle(data, "x")


def test_an_unknown_version_is_refused_by_name():
    with pytest.raises(Unsupported, match=r"shoal\.packfile version 2; this release reads version 1"):
        read_bundle(archive([("manifest.json", manifest({}, version=2), {})]), "x")


def test_a_bomb_is_refused_before_it_is_read():
    data = archive([("manifest.json", b"0" * 900_000, {"compress_type": zipfile.ZIP_DEFLATED})])
    with pytest.raises(InvalidInput, match=r"packfile\.compressed"):
        read_bundle(data, "x")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_bundle(make_bundle(write(tmp_path_factory.mktemp("sound"))))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(sound, data):
    assert write_bundle(read_bundle(sound, "x")) == sound
    place = data.draw(st.integers(0, len(sound) - 1))
    changed = bytearray(sound)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ShoalError):
        read_bundle(bytes(changed), "x")
    cut = data.draw(st.integers(0, len(sound) - 1))
    for other in (sound[:cut], sound + b"\0", b"\0" + sound, sound[:cut] + b"x" + sound[cut:]):
        with pytest.raises(ShoalError):
            read_bundle(other, "x")


def run(*arguments):
    return CliRunner().invoke(app, ["pack", *map(str, arguments)])


def test_the_commands(home, tmp_path):
    folder = write(tmp_path / "p")
    found = run("export", folder, tmp_path / "s.shoalpack")
    assert found.exit_code == 0
    sha256 = found.output.split()[0]
    assert hashlib.sha256((tmp_path / "s.shoalpack").read_bytes()).hexdigest() == sha256
    assert run("installed").output.startswith("no pack is installed")
    found = run("install", tmp_path / "s.shoalpack", "--sha256", sha256)
    assert found.exit_code == 0
    assert found.output.startswith("installed small 1 (")
    assert "already installed" in run("install", tmp_path / "s.shoalpack").output
    assert "small 1 (" in run("installed").output
    told = json.loads(run("installed", "--json").stdout)
    assert told["packs"][0]["manifest"]["pack_version"] == "1"
    shutil.rmtree(folder)
    found = run("check", "small")
    assert found.exit_code == 0
    assert "small 1 (" in found.output
