"""The dashboard and the alert rules of Prometheus: parsed by its own parser, over metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml

from api.app import create_app
from imagery.principal import Role
from imagery.services import Services
from infra.grafana.build import DASHBOARD, dashboard, text
from testbed.ports import free_port
from testbed.servers import Server
from testbed.services import services, simulator
from tests.infra.conftest import Served
from tests.infra.test_alerts import RULES as AZURE_RULES

__all__ = ["services", "simulator"]

ROOT = Path(__file__).parent.parent.parent
GRAFANA = ROOT / "infra/grafana"
# what Grafana puts in for its variables, at a zoom of some hours
_VARIABLES = {"$__rate_interval": "2m", "$__range": "6h"}
# Prometheus' own
_ALWAYS: Served = {"up": {"job", "instance"}}
_ONLY_IN_LOGS = {"host-errors", "gpu-unhealthy"}
_LIMIT_S = 60.0


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"][0]["rules"]
    return found


def expressions() -> dict[str, str]:
    """Every expression by where it stands, as Prometheus gets it."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            found[f"panel {panel['title']} {target['refId']}"] = query
    return found


EXPRESSIONS = expressions()


def selectors(node: Any) -> Iterator[Any]:
    """The vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


def grouping(expression: str) -> set[str]:
    """The labels that results are grouped by."""
    return {
        label for labels in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", labels)
    }


def test_the_committed_dashboard_is_what_its_parts_build() -> None:
    assert DASHBOARD.read_text() == text(), "run: python -m infra.grafana.build"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_parses_and_reads_metrics_that_are_served(name: str, served: Served) -> None:
    known: Served = {}
    for each in (_ALWAYS, served):
        for metric, labels in each.items():
            known.setdefault(metric, set()).update(labels | {"job", "instance"})
    tree = promql_parser.parse(EXPRESSIONS[name])
    found = list(selectors(tree))
    assert found
    for selector in found:
        assert selector.name in known
        assert {each.name for each in selector.matchers.matchers} <= known[selector.name]
    assert grouping(EXPRESSIONS[name]) <= set().union(*(known[each.name] for each in found))


def test_the_parser_refuses_what_is_no_expression() -> None:
    for wrong in ("sum by (", "rate(up)", "up{job=}"):
        with pytest.raises(ValueError, match=r"."):
            promql_parser.parse(wrong)


def test_both_worlds_have_the_same_alerts_with_the_same_limits() -> None:
    names = {rule["alert"] for rule in rules()}
    assert names == set(AZURE_RULES) - _ONLY_IN_LOGS
    for rule in rules():
        assert rule["annotations"]["guide"] == f"docs/monitoring.md#{rule['alert']}"
        is_urgent = int(AZURE_RULES[rule["alert"]]["severity"]) <= 1
        assert (rule["labels"]["severity"] == "critical") == is_urgent


def test_the_provisioned_source_is_the_one_the_dashboard_names() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    uids = {each["uid"] for each in provisioned["datasources"]}
    used = set(re.findall(r'"uid": "([^"]+)"', json.dumps(dashboard()["panels"])))
    assert used == uids
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/imagery.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def promtool(*arguments: str | Path, folder: Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    for name in ("alerts.yml", "prometheus.yml"):
        shutil.copy(GRAFANA / name, tmp_path)
    (tmp_path / "imagery.key").write_text("igp_any")
    assert f"{len(rules())} rules found" in promtool("check", "rules", "alerts.yml", folder=tmp_path)
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml", folder=GRAFANA)
    tested = yaml.safe_load((GRAFANA / "alerts.test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tested for each in test["alert_rule_test"] if "exp_alerts" in each}
    assert fired == {rule["alert"] for rule in rules()}


@pytest.fixture
def prometheus(services: Services, tmp_path: Path) -> Iterator[httpx.Client]:
    """A Prometheus with our configuration, scraping the API with an operator's key every three seconds."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    app, port = Server(create_app()), free_port()
    configuration = (GRAFANA / "prometheus.yml").read_text()
    for old, new in {"127.0.0.1:7071": app.url.removeprefix("http://"), "30s": "3s", "10s": "3s"}.items():
        assert old in configuration
        configuration = configuration.replace(old, new)
    (tmp_path / "prometheus.yml").write_text(configuration)
    shutil.copy(GRAFANA / "alerts.yml", tmp_path)
    (tmp_path / "imagery.key").write_text(services.users.create("prometheus", Role.OPERATOR)[1])
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(10)
        app.stop()


def query(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


@pytest.mark.slow
def test_a_real_prometheus_scrapes_the_api_and_answers_every_panel(prometheus: httpx.Client) -> None:
    until = time.monotonic() + _LIMIT_S
    up = 'up{job="imagery"} == 1'
    while time.monotonic() < until:
        try:
            # it refuses queries while it loads
            if prometheus.get("/-/ready").is_success and query(prometheus, up):
                break
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    assert query(prometheus, up), prometheus.get("/api/v1/targets").text
    states = query(prometheus, "circuit_breaker_state")
    assert {each["metric"]["dependency"] for each in states} == {
        "gpu",
        "nano_banana",
        "nano_banana_fallback",
        "content_safety",
    }
    for expression in EXPRESSIONS.values():
        query(prometheus, expression)
    loaded = prometheus.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert len(loaded) == len(rules())
