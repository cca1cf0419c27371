"""What the workflows run is named by commit: a tag can be moved to other code."""

from __future__ import annotations

import re

from tests.docs.tree import ROOT, files


def test_every_action_is_a_commit_with_its_version_beside_it_and_the_same_one_everywhere() -> None:
    commits: dict[str, set[str]] = {}
    for path in files():
        if not path.startswith(".github/workflows/"):
            continue
        for line in re.findall(r"uses:.*", (ROOT / path).read_text()):
            found = re.fullmatch(r"uses: ([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line)
            assert found, f"{path}: {line}"
            commits.setdefault(found[1].lower(), set()).add(line.partition("@")[2])
    assert commits and {action: each for action, each in commits.items() if len(each) > 1} == {}
