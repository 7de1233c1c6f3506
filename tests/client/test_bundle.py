"""A bundle is looked at before it is unpacked: each way to lead an unpacker astray has a name."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.bundle import LARGEST_BUNDLE, Bundle, BundleFlaw, BundleRefused
from shared.errors import StateError
from tests.client.made_sites import zipped

DESCRIBED = {
    "pyproject.toml": b'[project]\nname = "x"\n[tool.flwr.app.config]\nrounds = 3\n'
    b"[tool.flwr.app.config.data]\ndir = 'd'\n"
}


def bundle(**files: bytes) -> bytes:
    """A small bundle with these files more; `__` is a slash, `_py` the suffix."""
    names = {name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}
    return zipped(DESCRIBED | names)


def with_entry(change: Callable[[zipfile.ZipInfo], None], name: str = "client/a.py") -> bytes:
    """A bundle with one entry that was tampered with."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pyproject.toml", DESCRIBED["pyproject.toml"])
        entry = zipfile.ZipInfo(name)
        change(entry)
        archive.writestr(entry, b"x = 1\n")
    return content.getvalue()


def as_link(entry: zipfile.ZipInfo) -> None:
    """A symbolic link, as zip stores it."""
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16


def unchanged(entry: zipfile.ZipInfo) -> None:
    """Nothing."""
    del entry


def lying(content: bytes, size: int) -> bytes:
    """The same, but its directory says of the last entry that it is so large."""
    place = content.rfind(b"PK\x01\x02")
    return content[: place + 24] + struct.pack("<I", size) + content[place + 28 :]


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", BundleFlaw.NO_ARCHIVE),
        (b"PK\x03\x04 nothing more", BundleFlaw.NO_ARCHIVE),
        (bundle(client__a_py=b"x = 1")[:-30], BundleFlaw.NO_ARCHIVE),
        (bytes(LARGEST_BUNDLE + 1), BundleFlaw.TOO_LARGE),
        (bundle(client__bomb_py=bytes(3 << 20)), BundleFlaw.RATIO),
        (bundle(client__big_py=bytes(5 << 20)), BundleFlaw.TOO_LARGE),
        (zipped(DESCRIBED | {f"a/f{n}.py": b"" for n in range(1001)}), BundleFlaw.TOO_MANY_FILES),
        (zipped({"client/a.py": b""}), BundleFlaw.NO_DESCRIPTION),
        (zipped({"pyproject.toml": b"[tool]"}), BundleFlaw.NO_DESCRIPTION),
        (zipped({"pyproject.toml": b"\xff"}), BundleFlaw.NO_DESCRIPTION),
        (
            zipped({"pyproject.toml": b"[tool.flwr.app.config]\nx = [1]"}),
            BundleFlaw.NO_DESCRIPTION,
        ),
        (with_entry(unchanged, "client/x.so"), BundleFlaw.KIND),
        (with_entry(unchanged, "client/noname"), BundleFlaw.KIND),
        (with_entry(as_link), BundleFlaw.KIND),
        (with_entry(unchanged, "Client/a.py") + b"", None),
        (lying(bundle(client__a_py=b"x = 1"), 3 << 20), BundleFlaw.RATIO),
    ],
    ids=lambda value: "bundle" if isinstance(value, bytes) else str(value),  # holds the time
)
def test_what_could_lead_astray_is_refused_by_name(content: bytes, flaw: BundleFlaw | None) -> None:
    """Before anything is unpacked; a bundle without a flaw is not."""
    if flaw is None:
        Bundle(content)
        return
    with pytest.raises(BundleRefused) as caught:
        Bundle(content)
    assert caught.value.flaw is flaw


@pytest.mark.parametrize(
    "name",
    [
        "../a.py", "client/../../a.py", "/etc/a.py", "client//a.py", "./a.py", "client\\a.py",
        "C:a.py", "client/a\n.py", "/".join("d" * 13) + "/a.py", "a" * 201 + ".py",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_is_refused(name: str) -> None:
    """Or is written in a way that some unpacker reads otherwise."""
    with pytest.raises(BundleRefused) as caught:
        Bundle(zipped(DESCRIBED | {name: b""}))
    assert caught.value.flaw is BundleFlaw.PATH


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["client/a.py", "client/A.py", "CLIENT/a.PY"])
def test_a_name_that_stands_twice_is_refused(second: str) -> None:
    """Also to a file system that does not tell capitals."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("pyproject.toml", "client/a.py", second):
            archive.writestr(name, DESCRIBED.get(name, b""))
    with pytest.raises(BundleRefused) as caught:
        Bundle(content.getvalue())
    assert caught.value.flaw is BundleFlaw.TWICE


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    """It could not be unpacked whole."""
    with pytest.raises(BundleRefused) as caught:
        Bundle(zipped(DESCRIBED | {"a.py": b"", "a.py/b.py": b""}))
    assert caught.value.flaw is BundleFlaw.PATH


def test_a_bundle_that_grows_in_many_files_is_refused() -> None:
    """Each of them small enough."""
    noise = {f"client/f{n}.py": bytes([n]) * (1 << 16) for n in range(255)}
    with pytest.raises(BundleRefused) as caught:
        Bundle(zipped(DESCRIBED | {f"{n}/{m}": t for n in range(3) for m, t in noise.items()}))
    assert caught.value.flaw is BundleFlaw.TOO_LARGE


def test_a_files_own_content_counts_not_what_the_directory_says() -> None:
    """A content that is longer or shorter than declared is a damaged archive."""
    for size in (0, 3, 7):
        with pytest.raises(BundleRefused):
            Bundle(lying(bundle(client__a_py=b"x = 1\n"), size))


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_bytes_do_anything_but_be_refused(noise: bytes, place: int) -> None:
    """Random ones, and a good bundle with some of them changed."""
    good = bundle(client__a_py=b"x = 1\n" * 50)
    for content in (noise, good[:place] + noise[:20] + good[place + 20 :]):
        try:
            Bundle(content)
        except BundleRefused:
            continue


def test_it_is_unpacked_into_a_new_folder_that_nobody_writes(tmp_path: Path) -> None:
    """The very files; not over what is there."""
    found = Bundle(bundle(client__a_py=b"x = 1\n", deep__er__b_py=b""))
    found.unpack(tmp_path / "app")
    assert (tmp_path / "app" / "client" / "a.py").read_bytes() == b"x = 1\n"
    assert stat.S_IMODE((tmp_path / "app" / "client" / "a.py").stat().st_mode) == 0o400
    assert (tmp_path / "app" / "deep" / "er" / "b.py").exists()
    with pytest.raises(StateError, match="cannot be unpacked"):
        found.unpack(tmp_path / "app")


def test_the_runs_settings_are_the_bundles_below_the_overrides() -> None:
    """Flat, as Flower joins them."""
    found = Bundle(bundle())
    assert found.run_config({}) == {"rounds": 3, "data.dir": "d"}
    assert found.run_config({"rounds": 5}) == {"rounds": 5, "data.dir": "d"}
