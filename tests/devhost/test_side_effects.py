"""Points at the borders of libraries, seen by a process of its own: they are for the whole process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from testbed.servers import Server
from tests.devhost.process import ROOT

JOB = "6f0d9d5c-58c8-4b7e-9d0b-0a5b2f6f3a11"
PROGRAM = f"""
import json, sys
from pathlib import Path
import httpx
from sqlmodel import Field, Session, SQLModel, create_engine, select
from devhost import side_effects
from devhost.faults import FaultInjector

class Thing(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)

folder, url = Path(sys.argv[1]), sys.argv[2]
injector = FaultInjector.from_file(folder / "faults.json", folder)
side_effects.install(injector, folder / "blobs")
engine = create_engine(f"sqlite:///{{folder / 'test.db'}}")
SQLModel.metadata.create_all(engine)
with Session(engine) as session:
    session.add(Thing())
    session.commit()
    session.exec(select(Thing)).all()
    session.commit()
    session.add(Thing())
    session.flush()
    session.rollback()
httpx.get(url + "/things")
httpx.post(url + "/things/{JOB}?key=1", content=b"x")
for name in ("blobs/jobs/{JOB}/new.part", "elsewhere.part"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.replace(path.with_suffix(".png"))
"""


def run(folder: Path, *faults: dict[str, object]) -> tuple[int, list[str]]:
    """The exit code of the program, and the points that it has passed."""
    (folder / "faults.json").write_text(json.dumps(faults))

    async def answer(_: Request) -> Response:
        return Response()

    server = Server(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder), server.url], cwd=ROOT, check=False, timeout=60
        )
    finally:
        server.stop()
    file = folder / "faults-passed.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return done.returncode, [f"{line['point']} {line['name']} {line['at']}" for line in lines]


def test_what_changes_something_is_a_point_and_what_reads_is_none(tmp_path: Path) -> None:
    code, passed = run(tmp_path, {"point": "*", "name": "*", "at": 1, "action": "record"})
    assert code == 0
    assert passed == [
        "before_commit thing 1",
        "after_commit thing 1",
        "before_request POST /things/{id} 1",
        "sent_request POST /things/{id} 1",
        "after_request POST /things/{id} 1",
        "before_file jobs/{id}/new.png 1",
        "after_file jobs/{id}/new.png 1",
    ]


@pytest.mark.parametrize(
    ("point", "name", "last"),
    [
        ("after_commit", "thing", "after_commit thing 1"),
        ("sent_request", "POST /things/{id}", "sent_request POST /things/{id} 1"),
        ("before_file", "jobs/{id}/new.png", "before_file jobs/{id}/new.png 1"),
    ],
)
def test_a_process_can_be_killed_there(tmp_path: Path, point: str, name: str, last: str) -> None:
    record = {"point": "*", "name": "*", "at": 1, "action": "record"}
    code, passed = run(tmp_path, record, {"point": point, "name": name, "at": 1, "action": "kill"})
    assert (code, passed[-1]) == (137, last)
    # what has fired does not fire again
    assert run(tmp_path, {"point": point, "name": name, "at": 1, "action": "kill"})[0] == 0
