"""Every setting, documented once: the only place of the project that reads the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Environment(StrEnum):
    """Where the code runs."""

    DEV = "DEV"
    PROD = "PROD"


class TelemetryExporter(StrEnum):
    """Where telemetry goes beyond the log: see ``imagery.telemetry.exporters.azure_monitor``."""

    NONE = "none"
    OPENCENSUS = "opencensus"
    OPENTELEMETRY = "opentelemetry"


class BlobTriggerSource(StrEnum):
    """How the host learns of new blobs."""

    POLLING = "polling"
    EVENT_GRID = "eventgrid"


class AzureCredential(StrEnum):
    """Where tokens of Entra ID come from: see ``imagery.identity``."""

    AUTO = "auto"
    MANAGED_IDENTITY = "managed_identity"
    DEVELOPER = "developer"


class CacheScope(StrEnum):
    """Whose finished stages a job may take over."""

    OFF = "off"
    USER = "user"
    SHARED = "shared"


class ContentSafetyFallback(StrEnum):
    """What happens while Azure AI Content Safety does not answer."""

    LOCAL = "local"
    WAIT = "wait"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _filled(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class ImageFormat(StrEnum):
    """Formats that the guardrail can read."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WEBP"
    AVIF = "AVIF"
    TIFF = "TIFF"
    BMP = "BMP"
    HEIF = "HEIF"


Formats = Annotated[tuple[ImageFormat, ...], NoDecode, BeforeValidator(_split), BeforeValidator(_upper)]
# a comma separated list in one variable
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_filled)]


class Settings(BaseSettings):
    """Read from environment variables (app settings in Azure, ``local.settings.json`` under Core Tools).

    The variable of a field is its name in upper case, unless an alias says otherwise.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, env_ignore_empty=True)

    env: Environment = Field(
        Environment.DEV, description="DEV or PROD; PROD always stores in Azure Blob Storage."
    )
    log_level: str = Field("INFO", description="Lowest level that is logged.")
    telemetry_exporter: TelemetryExporter = Field(
        TelemetryExporter.NONE,
        description="none, opencensus or opentelemetry: what sends to Application Insights.",
    )
    applicationinsights_connection_string: SecretStr | None = Field(
        None, description="Where the exporter sends to."
    )
    telemetry_sampling: float = Field(
        1.0, ge=0, le=1, description="Share of the jobs whose traces are exported; log lines always are."
    )
    telemetry_queue: int = Field(
        4096, ge=100, description="Most log lines, and most spans, that wait for export; more are dropped."
    )
    telemetry_interval_s: float = Field(5.0, gt=0, description="Longest wait until a batch is exported.")
    telemetry_timeout_s: float = Field(5.0, gt=0, description="Time limit of exporting one batch.")
    telemetry_flush_s: float = Field(
        3.0, gt=0, description="Longest time that the end of a process waits for its last batches."
    )
    telemetry_metrics_s: float = Field(
        # below the reconciler's minute, so that a tick that comes a little early is not left out
        50.0,
        gt=0,
        description="Shortest time between two exports of the metrics (by the reconciler).",
    )
    functions_worker_exports: bool = Field(
        False,
        alias="PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
        description="The Functions worker's own exporter: a second path, refused beside an exporter.",
    )

    azure_credential: AzureCredential = Field(
        AzureCredential.AUTO,
        description="Where tokens come from: managed_identity, developer (az or azd sign-in) or auto (both).",
    )
    azure_client_id: str | None = Field(
        None, description="Client id of the managed identity; needed where it was assigned by hand."
    )
    token_margin_s: float = Field(300.0, ge=0, description="Tokens are renewed this long before they end.")

    storage_connection_string: SecretStr | None = Field(
        None,
        alias="AzureWebJobsStorage",
        description="Connection string of the storage account or of Azurite; empty with ENV=DEV: files.",
    )
    storage_account_name: str | None = Field(
        None,
        alias="AzureWebJobsStorage__accountName",
        description="Storage account reached with a managed identity instead of a connection string.",
    )
    local_storage_path: Path = Field(
        Path("data"), description="Folder of LocalStorage (ENV=DEV without a connection string)."
    )
    sas_lifetime_s: int = Field(900, gt=0, description="Lifetime of SAS links, seconds.")

    blob_trigger_source: BlobTriggerSource = Field(
        BlobTriggerSource.POLLING, description="polling, or eventgrid (needed on Flex Consumption)."
    )

    database_url: SecretStr = Field(
        SecretStr("sqlite:///data/imagery.db"),
        description="SQLAlchemy URL: sqlite:///file or postgresql+psycopg://user:password@host/name; "
        "a remote host without a password gets a token of Entra ID.",
    )
    journal_wait_s: float = Field(
        30.0, ge=0.1, description="Longest wait of a PostgreSQL transaction to write its log events."
    )

    gpu_service_url: str = Field("http://127.0.0.1:8081", description="Base URL of the GPU service.")
    gpu_app_id: str | None = Field(
        None, description="App registration of the GPU service: calls carry a token for it; empty: no token."
    )
    gpu_timeout_s: float = Field(230.0, gt=0, description="Time limit of one call (ingress ends at 240 s).")
    gpu_retry_first_s: float = Field(2.0, gt=0, description="First wait before a GPU stage is retried.")
    gpu_retry_coefficient: float = Field(2.0, ge=1, description="Growth of the wait.")
    gpu_retry_cap_s: float = Field(60.0, gt=0, description="Longest single wait.")
    gpu_retry_attempts: int = Field(5, ge=1, description="Attempts a GPU stage that fails gets.")
    gpu_replica_first_s: float = Field(
        3.0, gt=0, description="First wait for a GPU replica to come up; jobs wait up to their deadline."
    )
    gpu_replica_coefficient: float = Field(1.5, ge=1, description="Growth of the wait.")
    gpu_replica_cap_s: float = Field(30.0, gt=0, description="Longest single wait.")
    gpu_model_version: str = Field(
        "1",
        min_length=1,
        max_length=100,
        description="Names the models of the GPU service: a new name makes the stage cache start anew.",
    )

    nano_banana_base_url: str = Field(
        "https://generativelanguage.googleapis.com", description="Base URL of the image model."
    )
    nano_banana_api_key: SecretStr | None = Field(None, description="API key of the image model.")
    nano_banana_model: str = Field("gemini-3.1-flash-image", description="Model id.")
    nano_banana_price_usd: float = Field(0.08, ge=0, description="Contract price of one image.")
    nano_banana_timeout_s: float = Field(120.0, gt=0, description="Time limit of one paid call.")
    nano_banana_max_input_side: int = Field(
        2048, gt=0, description="The cut-out is scaled down to this side before it is sent."
    )
    nano_banana_max_response_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="A longer answer is refused."
    )
    nano_banana_retry_first_s: float = Field(2.0, gt=0, description="First wait after a 503.")
    nano_banana_retry_coefficient: float = Field(2.0, ge=1, description="Growth of the wait.")
    nano_banana_retry_cap_s: float = Field(60.0, gt=0, description="Longest single wait.")
    nano_banana_retry_attempts: int = Field(6, ge=1, description="Attempts the paid stage gets.")
    nano_banana_max_retry_after_s: float = Field(
        300.0, ge=0, description="A server that asks for a longer wait fails the job instead."
    )

    budget_usd_per_day: float = Field(
        100.0, ge=0, description="USD that all users together may spend in a day (UTC)."
    )

    circuit_failures: int = Field(
        5, ge=1, description="Failures in a row after which a dependency is no longer called."
    )
    circuit_open_s: float = Field(15.0, gt=0, description="Time until one probe is let through.")
    circuit_open_cap_s: float = Field(
        300.0, gt=0, description="Longest such time: it doubles with each probe that fails."
    )
    circuit_read_s: float = Field(
        1.0, ge=0, description="Time an instance goes by the state of a circuit it has read."
    )

    stage_cache: CacheScope = Field(
        CacheScope.USER,
        description="Whose finished stages a job may take over: user (one's own), shared, or off.",
    )

    retry_jitter: float = Field(
        0.2, ge=0, le=1, description="Share by which waits are spread, so that jobs do not come back at once."
    )
    records_retry_attempts: int = Field(6, ge=1, description="Attempts to write a job's final state.")
    max_waits: int = Field(200, ge=0, description="Server-asked waits (Retry-After) a stage may take.")
    job_deadline_s: float = Field(3600.0, gt=0, description="A job older than this is failed.")

    max_upload_bytes: int = Field(25 * 1024 * 1024, gt=0, description="Largest accepted file.")
    allowed_formats: Formats = Field(
        tuple(ImageFormat),
        min_length=1,
        description="Accepted image formats by content, comma separated.",
    )
    strict_content_type: bool = Field(
        False, description="Refuse an image that was declared as another image type."
    )
    max_megapixels: float = Field(50.0, gt=0, description="Most pixels of an input, in millions.")
    max_output_megapixels: float = Field(
        200.0, gt=0, description="Most pixels after upscaling 4x, in millions."
    )
    min_side_px: int = Field(32, gt=0, description="Shortest accepted side.")
    max_side_px: int = Field(8192, gt=0, description="Longest accepted side.")
    max_frames: int = Field(1, ge=1, description="Most frames or pages; only the first one is used.")
    max_compression_ratio: float = Field(
        2000.0, gt=0, description="Most bytes that a byte of a file from 1 MP on may unpack to."
    )
    max_metadata_bytes: int = Field(
        4 * 1024 * 1024, gt=0, description="Most bytes of EXIF, XMP, ICC and the like (never kept)."
    )
    min_contrast: float = Field(
        2.0, ge=0, description="Least standard deviation of the colours (0 to 255) of an input."
    )
    max_uniform_share: float = Field(
        0.999, gt=0, le=1, description="Largest share of an input that may have one colour."
    )
    min_sharpness: float = Field(
        5.0, ge=0, description="Least variance of the Laplacian in the sharpest 64th of an input; 0: off."
    )
    min_highlight: float = Field(
        24.0, ge=0, le=255, description="The brightest half percent must reach this luminance."
    )
    max_shadow: float = Field(
        235.0, ge=0, le=255, description="The darkest half percent must not exceed this luminance."
    )
    max_nsfw_score: float = Field(
        0.8, ge=0, le=1, description="Highest accepted score of the open_nsfw network; 1: off."
    )
    blocked_picture_hashes: Words = Field(
        (), description="pHashes (16 hex digits, comma separated) of pictures that are refused."
    )
    blocked_picture_distance: int = Field(
        6, ge=0, le=64, description="Differing bits up to which a picture counts as a blocked one."
    )
    max_prompt_chars: int = Field(2000, gt=0, description="Longest accepted prompt.")
    blocked_prompt_words: Words = Field(
        (), description="Words or phrases, comma separated, that a prompt must not hold."
    )
    content_safety_endpoint: str | None = Field(
        None, description="Azure AI Content Safety: judges picture and prompt too; empty: not used."
    )
    content_safety_key: SecretStr | None = Field(None, description="Its key; empty: a managed identity.")
    content_safety_max_severity: int = Field(
        3, ge=0, le=7, description="Highest accepted severity of any category (0, 2, 4 or 6)."
    )
    content_safety_timeout_s: float = Field(5.0, gt=0, description="Time limit of each of its calls.")
    content_safety_fallback: ContentSafetyFallback = Field(
        ContentSafetyFallback.LOCAL,
        description="When it does not answer: local (own network and lists decide) or wait (try later).",
    )

    guardrail_workers: int = Field(2, ge=1, description="Processes that decode pictures of strangers.")
    guardrail_timeout_s: float = Field(
        15.0, gt=0, description="A worker that takes longer for a picture is killed, the picture refused."
    )
    guardrail_memory_mb: int = Field(
        640, ge=400, description="Address space of a worker, about 260 of it for itself; more is refused."
    )
    guardrail_thumbnail_memory_mb: int = Field(
        1536, ge=400, description="The same while it makes a thumbnail of what a stage wrote."
    )
    guardrail_queue_s: float = Field(20.0, gt=0, description="Longest wait for a free worker.")
    guardrail_queue_limit: int = Field(
        16,
        ge=0,
        description="Most files that wait for a worker, each in memory; more are turned away.",
    )
    guardrail_worker_pictures: int = Field(
        200, ge=1, description="Pictures after which a worker is replaced."
    )

    easy_auth: bool = Field(
        False,
        alias="WEBSITE_AUTH_ENABLED",
        description="Set by Azure where App Service Authentication stands before the app: its headers count.",
    )
    quota_jobs_per_minute: int = Field(120, ge=0, description="Jobs a user may start in a minute.")
    quota_concurrent_jobs: int = Field(200, ge=0, description="Jobs of a user that may be open at once.")
    quota_usd_per_day: float = Field(20.0, ge=0, description="USD a user may spend in a day (UTC).")

    webhook_signing_key: SecretStr | None = Field(
        None, description="Master key of callback signatures, 32 characters or more; empty: no callbacks."
    )
    callback_timeout_s: float = Field(10.0, gt=0, description="Time limit of one callback, all in all.")
    callback_retry_first_s: float = Field(5.0, gt=0, description="First wait after a failed callback.")
    callback_retry_coefficient: float = Field(4.0, ge=1, description="Growth of the wait.")
    callback_retry_cap_s: float = Field(14_400.0, gt=0, description="Longest single wait.")
    callback_lifetime_s: float = Field(
        86_400.0, gt=0, description="Callbacks that still fail after this time are given up."
    )
    callback_max_attempts: int = Field(50, ge=1, description="Most attempts of one callback.")

    cors_origins: Words = Field(
        (), description="Origins of web pages that may call the API, comma separated; empty: none."
    )
    session_lifetime_s: float = Field(
        43_200.0, gt=0, description="Seconds that a browser stays signed in with a key."
    )
    max_json_bytes: int = Field(
        4 * 1024 * 1024, gt=0, description="Longest body that is no file, such as a batch."
    )

    batch_max_items: int = Field(1000, gt=0, description="Most items of a batch.")
    batch_parallel: int = Field(8, gt=0, description="Jobs of a batch that run at once.")

    reconcile_schedule: str = Field(
        "0 * * * * *", description="NCRONTAB of the reconciler (read by the host, not by the code)."
    )
    reconcile_grace_s: float = Field(
        60.0, ge=0, description="A job untouched for this long is looked at by the reconciler."
    )
    reconcile_max_restarts: int = Field(
        10, ge=0, description="Times a lost orchestration is started again before the job fails."
    )
    reconcile_max_starts: int = Field(
        50, gt=0, description="Orchestrations that one reconciler tick starts again."
    )
    reconcile_page: int = Field(500, gt=0, description="Jobs that the reconciler reads at once.")
    reconcile_max_jobs: int = Field(10_000, gt=0, description="Jobs that one reconciler tick looks at.")

    retention_schedule: str = Field(
        "0 */10 * * * *", description="NCRONTAB of the retention (read by the host, not by the code)."
    )
    retention_pictures_days: float = Field(
        30.0,
        gt=0,
        description="Pictures, uploads and durable history are deleted this long after a job ended.",
    )
    retention_events_days: float = Field(
        90.0, gt=0, description="Log events are deleted after this time; jobs, verdicts and money are kept."
    )
    retention_max_jobs: int = Field(500, gt=0, description="Jobs that one retention tick clears.")
    retention_sweep_blobs: int = Field(
        5000, gt=0, description="Uploads that one tick looks at for files whose event got lost."
    )

    status_wait_max_s: float = Field(30.0, ge=0, description="Longest long-poll of /status.")
    logs_wait_s: float = Field(20.0, ge=0, description="Longest wait for the first event in /logs.")
    logs_poll_s: float = Field(
        0.3, gt=0, description="While anyone waits in /logs, a process looks this often for new events."
    )
    logs_reconnect_ms: int = Field(
        500, ge=0, description="Pause that an EventSource makes before it connects to /logs anew."
    )
    logs_page: int = Field(500, gt=0, le=10_000, description="Most events of one answer of /logs.")
    logs_tail: int = Field(
        200, ge=0, description="Latest events that a stream of /logs begins with when it names no place."
    )
    logs_scan_events: int = Field(
        20_000, gt=0, description="Events that one query of /logs looks through for level, stage or text."
    )
    metrics_gpu_wait_s: float = Field(
        0.2, ge=0, description="Longest time that /metrics waits for the GPU service's figures."
    )
    metrics_gpu_fresh_s: float = Field(
        5.0, ge=0, description="Age up to which /metrics tells the figures it has instead of asking anew."
    )
    metrics_gpu_stale_s: float = Field(
        60.0, ge=0, description="Age up to which it tells them while the GPU service does not answer in time."
    )
    http_connections: int = Field(100, gt=0, description="Most connections of one HTTP client.")

    @property
    def simulated(self) -> bool:
        """True when the paid service is not Google's but a stand-in on this machine."""
        return "googleapis.com" not in self.nano_banana_base_url

    @property
    def job_deadline(self) -> timedelta:
        """``job_deadline_s`` as a time span."""
        return timedelta(seconds=self.job_deadline_s)


# what a child process needs to run at all; everything else, the secrets among it, it does not get
_HARMLESS = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT")


def harmless_environment() -> dict[str, str]:
    """The environment of a child process that handles strangers' files."""
    return {name: os.environ[name] for name in _HARMLESS if name in os.environ}


# what the exporters' libraries would report about themselves, to hosts of their maker
_SELF_REPORTING = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}


def turn_off_self_reporting() -> None:
    """Let the exporters call nothing but the ingestion endpoint: they take these switches from variables
    only. To be called before they are made.
    """
    os.environ.update(_SELF_REPORTING)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
