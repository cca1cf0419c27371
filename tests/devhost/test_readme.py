"""The README of the host names the settings that the host reads, and no others."""

from __future__ import annotations

import re

from tests.devhost.process import ROOT

READ = re.compile(r'(?:setting|_number)\("([A-Z_]+)"')
HOST_JSON = re.compile(r'(?:_positive\(\w+, |\.get\()"([a-z][A-Za-z]+)"')


def test_the_readme_names_every_setting_of_the_host_and_no_other() -> None:
    readme = (ROOT / "devhost/README.md").read_text()
    source = (ROOT / "devhost/settings.py").read_text()
    variables = re.findall(r"^\| `([A-Z_]+)` \|", readme, re.MULTILINE)
    assert set(variables) == set(READ.findall(source))
    for name in HOST_JSON.findall(source):
        assert f"`{name}`" in readme
