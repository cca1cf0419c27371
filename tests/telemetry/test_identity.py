"""Telemetry with the identity of the app, where Application Insights takes no key."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.monitor.opentelemetry.exporter.export import _base

from drills.telemetry.ingestion import Ingestion
from imagery.environment import read
from imagery.settings import Settings
from imagery.telemetry.exporters.azure_monitor import (
    configure_exporter,
    exporter_in_use,
    shutdown_exporter,
)
from imagery.telemetry.exporters.base import MetricItem
from imagery.telemetry.logs import configure_logging, get_logger
from imagery.telemetry.tracing import SpanType, span
from testbed.certificate import write_certificate
from testbed.identity_endpoint import IdentityEndpoint
from tests.infra.bicep import module

CLIENT_ID = "33333333-3333-3333-3333-333333333333"
BY_IDENTITY = f"ClientId={CLIENT_ID};Authorization=AAD"


@pytest.fixture
def ingestion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ingestion]:
    """Takes only what comes with the token ``first``."""
    certificate = write_certificate(tmp_path / "server.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = Ingestion(certificate=certificate)
    server.token = "first"
    yield server
    server.stop()


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    endpoint = IdentityEndpoint()
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    yield endpoint
    endpoint.stop()


def configure(exporter: str, ingestion: Ingestion, authentication: str | None) -> io.StringIO:
    stream = io.StringIO()
    configure_logging("INFO", handler=logging.StreamHandler(stream))
    variables = {
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "TELEMETRY_EXPORT": "interval_s=0.2",
        "AZURE_CREDENTIAL": "managed_identity",
        "AZURE_CLIENT_ID": CLIENT_ID,
    }
    if authentication:
        variables["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] = authentication
    configure_exporter(read(Settings, variables), "imagery-test")
    return stream


def test_lines_spans_and_metrics_come_with_the_identitys_token(
    root: logging.Logger, exporter: str, ingestion: Ingestion, identity: IdentityEndpoint
) -> None:
    configure(exporter, ingestion, BY_IDENTITY)
    with span("work", SpanType.INTERNAL, "job-1"):
        get_logger("test").info("line", job_id="job-1")
    in_use = exporter_in_use()
    assert in_use is not None
    in_use.metrics([MetricItem("imagery_jobs_total", {}, 1.0)])
    shutdown_exporter()
    assert {item.kind for item in ingestion.items} == {"log", "dependency", "metric"}
    resources = {resource.rstrip("/") for resource, _ in identity.asked}
    assert resources == {"https://monitor.azure.com"}
    assert {client_id for _, client_id in identity.asked} == {CLIENT_ID}


def test_a_key_alone_is_refused_and_said_once(
    root: logging.Logger, exporter: str, ingestion: Ingestion, identity: IdentityEndpoint
) -> None:
    stream = configure(exporter, ingestion, None)
    get_logger("test").info("line")
    shutdown_exporter()
    assert ingestion.calls and ingestion.items == []
    assert stream.getvalue().count("telemetry_not_delivered") == 1
    assert identity.asked == []


def test_without_a_token_nothing_is_sent_and_the_app_goes_on(
    root: logging.Logger, exporter: str, ingestion: Ingestion, identity: IdentityEndpoint
) -> None:
    identity.broken = True
    stream = configure(exporter, ingestion, BY_IDENTITY)
    get_logger("test").info("line")
    shutdown_exporter()
    assert ingestion.items == []
    assert '"line"' in stream.getvalue() and "telemetry_not_delivered" in stream.getvalue()


def test_another_authentication_is_refused_at_the_start(
    root: logging.Logger, exporter: str, ingestion: Ingestion
) -> None:
    with pytest.raises(ValueError, match="Authorization=AAD"):
        configure(exporter, ingestion, "Authorization=Basic")


@pytest.mark.parametrize("name", ["function-app", "gpu-app"])
def test_bicep_writes_the_text_as_microsofts_own_exporter_reads_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = next(line for line in module(name).text.splitlines() if "Authorization=AAD" in line)
    written = text.split("'")[1].replace("${identity.clientId}", CLIENT_ID)
    assert written == BY_IDENTITY
    given: list[str] = []

    def credential(client_id: str) -> None:
        given.append(client_id)

    monkeypatch.setattr(_base, "ManagedIdentityCredential", credential)
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", written)
    _base._get_authentication_credential()
    assert given == [CLIENT_ID]
