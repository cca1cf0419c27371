"""Which tests run on one worker."""

from __future__ import annotations

import pytest

from tests.groups import DEV, PROD, group_of, order_of


@pytest.mark.parametrize(
    ("test_id", "group"),
    [
        ("tests/e2e/test_pipeline.py::test_a_photo[PROD]", PROD),
        ("tests/e2e/test_authorisation.py::test_each_route[DEV-get /api/v1/jobs-owner]", DEV),
        ("tests/e2e/test_money.py::test_a_lost_answer[True-PROD]", PROD),
        ("tests/dashboard/test_jobs.py::test_a_photo", PROD),
        ("tests/cli/test_running.py::test_a_photo", DEV),
        ("tests/e2e/test_batches.py::test_a_batch", "tests/e2e/test_batches.py"),
        ("tests/telemetry/test_export.py::test_a_job[PROD]", "tests/telemetry/test_export.py PROD"),
        ("tests/imagery/test_storage.py::test_a_file[local]", "tests/imagery/test_storage.py"),
    ],
)
def test_a_test_runs_where_its_stack_is(test_id: str, group: str) -> None:
    assert group_of(test_id) == group


def test_the_longest_groups_begin_first() -> None:
    assert order_of("tests/dashboard/test_jobs.py::test_a_photo") == 0
    assert order_of("tests/docs/test_commands.py::test_a") < order_of("tests/api/test_app.py::test_a")
