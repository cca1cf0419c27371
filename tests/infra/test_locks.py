"""Every package that is installed is named by a lock, in one version, with the hashes of its files."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from infra import locks
from infra.locks import LOCKS, ROOT, Lock, LockError, Pin, differences, excerpt, read_pins
from tests.docs.tree import files

# the same version is another build on each index: see the comment in the file
UNLOCKED = {"gpu_container/requirements-torch.in"}
# what 'make setup' and 'make check' put into one virtual environment
TOGETHER = (
    "requirements.txt",
    "requirements-local.txt",
    "requirements-dev.txt",
    "gpu_container/requirements.txt",
    "gpu_container/requirements-sources.txt",
)


def versions(paths: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """The versions of each package in some files, by its name and marker."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in paths:
        for pin in read_pins(ROOT / path):
            found.setdefault((pin.name, pin.marker), set()).add(pin.version)
    return found


def test_every_source_has_a_lock_and_every_lock_a_source() -> None:
    tracked = {
        path for path in files() if re.fullmatch(r"requirements[^/]*\.(in|txt)", path.rpartition("/")[2])
    }
    sources = {lock.source for lock in LOCKS}
    assert tracked == sources | UNLOCKED | {lock.path for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.path)
def test_a_lock_has_all_that_its_source_asks_for_and_hashes_of_everything(lock: Lock) -> None:
    pins = read_pins(ROOT / lock.path)
    assert [pin.name for pin in pins if not pin.hashes] == []
    locked = {(pin.name, pin.version) for pin in pins}
    asked = {(pin.name, pin.version) for pin in read_pins(ROOT / lock.source)}
    assert asked <= locked, "run: make lock"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.path)
def test_a_lock_has_nothing_that_nobody_asks_for(lock: Lock) -> None:
    pins = read_pins(ROOT / lock.path)
    names = {pin.name for pin in pins}
    asked = {pin.name for source in (lock.source, *UNLOCKED) for pin in read_pins(ROOT / source)}
    assert [pin.name for pin in pins if pin.name not in asked and not pin.needed_by & names] == []


def test_the_versions_of_one_environment_agree() -> None:
    found = versions(TOGETHER)
    assert {name: each for name, each in found.items() if len(each) > 1} == {}
    sources = [*(lock.source for lock in LOCKS if lock.source != "infra/requirements.in"), *UNLOCKED]
    asked = versions(sources)
    assert {name: each for name, each in asked.items() if len(each) > 1} == {}


def test_the_client_gets_what_it_needs_and_what_builds_it_from_the_locks() -> None:
    """It is installed without its dependencies and without build isolation."""
    project = tomllib.loads((ROOT / "client/pyproject.toml").read_text())
    locked = {pin.name: pin.version for path in TOGETHER[:2] for pin in read_pins(ROOT / path)}
    for text in (*project["project"]["dependencies"], *project["build-system"]["requires"], "editables"):
        requirement = Requirement(text)
        assert requirement.specifier.contains(locked[requirement.name]), text


def test_no_lock_names_an_index_or_a_place_on_a_disk() -> None:
    for lock in LOCKS:
        assert not re.search(r"://|-index-url|--find-links", (ROOT / lock.source).read_text()), lock.source
        assert not re.search(r"://|-index-url|--find-links|\s/\w", (ROOT / lock.path).read_text()), lock.path


def test_images_and_make_install_whole_locks_and_nothing_else() -> None:
    places = ("Dockerfile", "gpu_container/Dockerfile", "gpu_container/install.sh", "Makefile")
    for place in places:
        for line in (ROOT / place).read_text().replace("\\\n", "").splitlines():
            if re.search(r"pip\"? install", line) and "$wanted" not in line:
                assert "--require-hashes" in line or "-e ./client" in line, f"{place}: {line}"


LOCK = """\
# a header
apple==1.0 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via
    #   -c other.txt
    #   -r source.in
    #   pie
Pie_Crust[butter]==2.0 ; python_full_version < '3.13' \\
    --hash=sha256:{b}
    # via pie
pie==3.0 \\
    --hash=sha256:{b}
    # via -r source.in
salt==4.0 \\
    --hash=sha256:{b}
    # via -r source.in
""".format(a="a" * 64, b="b" * 64)


def test_a_lock_is_read_with_markers_hashes_and_what_needs_what(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(LOCK)
    hashes = frozenset({"b" * 64})
    assert read_pins(path)[:2] == [
        Pin("apple", "1.0", "", frozenset({"a" * 64, "b" * 64}), frozenset({"pie"})),
        Pin("pie-crust", "2.0", "python_full_version < '3.13'", hashes, frozenset({"pie"})),
    ]


def test_an_excerpt_holds_a_package_with_all_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(LOCK)
    assert excerpt(path, {"pie"}) == LOCK.partition("# a header\n")[2].partition("salt")[0]
    with pytest.raises(LockError, match=r"lock\.txt has no sugar"):
        excerpt(path, {"pie", "sugar"})


@pytest.mark.parametrize("line", ["apple>=1.0", "apple", "--index-url https://example.com"])
def test_what_is_not_pinned_is_no_lock(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(LockError, match="is not pinned"):
        read_pins(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("apple==1.0", "apple==1.1", ["apple 1.0  is not asked for", "apple 1.1  is missing"]),
        ("sha256:" + "a" * 64, "sha256:" + "c" * 64, ["apple 1.0  has other hashes"]),
        ("    # via pie", "    # via pie", []),
    ],
)
def test_the_check_names_what_another_compilation_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: list[str]
) -> None:
    (tmp_path / "lock.txt").write_text(LOCK)
    monkeypatch.setattr(locks, "ROOT", tmp_path)

    def compiled(lock: Lock, output: Path, more: list[str]) -> None:
        assert output.read_text() == LOCK, "what is locked keeps its version"
        # a file that was added to a version later changes nothing
        added = LOCK.replace("salt==4.0 \\\n", f"salt==4.0 \\\n    --hash=sha256:{'d' * 64} \\\n")
        output.write_text(added.replace(old, new))

    monkeypatch.setattr(locks, "compile_lock", compiled)
    assert differences(Lock("lock.in")) == [f"lock.txt: {line}" for line in told]
    assert (tmp_path / "lock.txt").read_text() == LOCK, "a check writes nothing"


def test_without_uv_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert locks.main([]) == 1
    assert "requirements-dev.txt has it" in capsys.readouterr().err
