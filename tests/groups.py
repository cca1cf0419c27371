"""What runs on one worker of ``pytest -n``, so that each stack is started once; and what begins first."""

from __future__ import annotations

import re
from typing import Any

PROD, DEV = "the stack of PROD", "the stack of DEV"
# tests of these folders use the shared stack of one kind, whatever they are called
_FOLDERS = {"tests/dashboard/": PROD, "tests/cli/test_running.py": DEV}
_SHARED = "tests/e2e/"
_KIND = re.compile(r"\[.*\b(PROD|DEV)\b.*\]$")
# these take longest, so they may not come last
_FIRST = (PROD, DEV, "tests/docs/", "tests/local/test_stack.py")


def group_of(test_id: str) -> str:
    """The shared stack that a test uses; else its file, with the kind of the host that it starts."""
    file, _, name = test_id.partition("::")
    for folder, group in _FOLDERS.items():
        if file.startswith(folder):
            return group
    found = _KIND.search(name)
    if found is None:
        return file
    if file.startswith(_SHARED):
        return {"PROD": PROD, "DEV": DEV}[found.group(1)]
    return f"{file} {found.group(1)}"


def order_of(test_id: str) -> int:
    """Tests of a smaller number begin earlier."""
    group = group_of(test_id)
    return next((place for place, first in enumerate(_FIRST) if group.startswith(first)), len(_FIRST))


def scheduler(config: Any, log: Any) -> Any:
    """Gives each group to one worker, in the order of the tests."""
    # of a plugin that is only there where tests run beside each other
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)
