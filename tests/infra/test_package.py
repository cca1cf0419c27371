"""The folder that is deployed holds all that the app imports, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.package import DASHBOARD, FILES, FOLDER, ROOMS, ROOT, NotBuiltError, build
from tests.test_rooms import Tree, reached_from


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, of a tree whose dashboard is one page."""
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (root / name).write_bytes((ROOT / name).read_bytes())
    for name in ROOMS:
        (root / name).symlink_to(ROOT / name)
    (root / DASHBOARD).mkdir(parents=True)
    (root / DASHBOARD / "index.html").write_text("a page")
    return build(root, root / "build/functions")


def test_it_holds_the_rooms_and_nothing_that_only_a_machine_needs(package: Path) -> None:
    assert {path.name for path in package.iterdir()} == {*FILES, *ROOMS, "frontend"}
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    tracked = subprocess.run(
        ["git", "ls-files", *FILES, *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert files >= {*tracked.stdout.split(), "frontend/dist/index.html"}
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]


def test_it_holds_the_rooms_that_the_app_imports() -> None:
    """Imports in functions too: a start of the app does not reach those."""
    tree = Tree(ROOT)
    assert {tree.room(module) for module in reached_from(tree, "function_app")} == {"function_app", *ROOMS}


@pytest.mark.slow
def test_the_app_needs_nothing_outside_of_it(package: Path) -> None:
    """In this venv; ``make drill NAME=package`` does it in one of its requirements alone."""
    command = [sys.executable, "-I", str(ROOT / "drills/package/smoke.py"), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_without_a_dashboard_there_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="make setup"):
        build(tmp_path, tmp_path / "build")


def test_everything_is_deployed_from_the_same_folder() -> None:
    folder = str(FOLDER.relative_to(ROOT))
    services = yaml.safe_load((ROOT / "azure.yaml").read_text())["services"]
    assert services["functions"]["dist"] == folder
    assert f"COPY --from=package /source/{folder} ./" in (ROOT / "Dockerfile").read_text()
    assert not (ROOT / ".funcignore").exists(), "azd and Core Tools read it differently"


def test_an_image_gets_all_that_it_copies_and_no_secrets() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "it must name what goes in, not what stays out"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    # the stage of the package copies all that is let in
    wanted = {*FILES, *ROOMS, "infra/package.py"}
    for image in ("Dockerfile", "gpu_container/Dockerfile"):
        copies = re.findall(r"^COPY (?!--from|\. )(.+) \S+$", (ROOT / image).read_text(), re.M)
        wanted |= {source for sources in copies for source in sources.split()}
    for source in wanted:
        path = Path(source)
        assert (ROOT / path).exists(), source
        assert {path.as_posix(), *(parent.as_posix() for parent in path.parents)} & let_in, source
    assert not {".env", "local.settings.json", ".azure"} & let_in


def test_the_hook_builds_it() -> None:
    hook = (ROOT / "infra/hooks/prepackage.sh").read_text()
    assert re.search(r"npm run build.*\npython3 -m infra\.package", hook)
