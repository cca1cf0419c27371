"""Every setting of the app, documented once: the only place of the project that reads the environment.

A setting earns its place here when somebody has a reason to change it; everything else is a constant beside
its use. ``docs/settings.md`` is written from this file: ``python -m infra.settings_page``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from imagery.environment import Group, Model, Named, Words, read, variables
from imagery.old_settings import complaint, renamed
from imagery.prices import MICRO, MOST_USD, Prices, models_of

# Most that a call may take, twice as much for a paid picture of 4K. A function that passes functionTimeout
# (host.json: half an hour) takes its worker with it, and the paid calls that others have out.
LONGEST_CALL_S = 300.0


_GOOGLE = "googleapis.com"


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
    """What happens while Azure AI Content Safety does not respond."""

    LOCAL = "local"
    WAIT = "wait"


class CredentialsMode(StrEnum):
    """Whether delivered pictures carry Content Credentials."""

    OFF = "off"
    SIGN = "sign"
    REQUIRE = "require"


class ImageFormat(StrEnum):
    """Formats that the guardrail can read."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WEBP"
    AVIF = "AVIF"
    TIFF = "TIFF"
    BMP = "BMP"
    HEIF = "HEIF"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _filled(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item for item in items if item)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


# comma separated lists
Formats = Annotated[tuple[ImageFormat, ...], BeforeValidator(_split), BeforeValidator(_upper)]
Texts = Annotated[tuple[str, ...], AfterValidator(_filled), BeforeValidator(_split)]


class ExportWords(Words):
    """How telemetry is exported."""

    sampling: float = Field(
        1.0, ge=0, le=1, description="share of the jobs whose traces are exported; log lines always are"
    )
    queue: int = Field(4096, ge=100, description="most log lines, and spans, that wait; others are lost")
    interval_s: float = Field(5.0, gt=0, description="longest wait until a batch is exported")
    timeout_s: float = Field(5.0, gt=0, description="time limit of exporting one batch")
    flush_s: float = Field(3.0, gt=0, description="longest wait of an ending process for its last batches")
    # below the reconciler's minute, so that a tick that comes a little early is not left out
    metrics_s: float = Field(50.0, gt=0, description="shortest time between two exports of the metrics")


class TelemetrySettings(Group):
    """Telemetry"""

    prefix: ClassVar[str] = "TELEMETRY_"

    exporter: TelemetryExporter = Field(
        TelemetryExporter.NONE,
        description="none, opencensus or opentelemetry: what sends to Application Insights.",
    )
    connection_string: Annotated[SecretStr | None, Named("APPLICATIONINSIGHTS_CONNECTION_STRING")] = Field(
        None, description="Application Insights that the exporter sends to."
    )
    # the host of Azure Functions reads the same variable
    authentication: Annotated[str | None, Named("APPLICATIONINSIGHTS_AUTHENTICATION_STRING")] = Field(
        None,
        description="With Authorization=AAD in it the exporter sends with the app's identity.",
    )
    export: ExportWords = Field(ExportWords(), description="How the exporter sends.")
    worker_exports: Annotated[bool, Named("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY")] = Field(
        False, description="The Functions worker's own exporter, refused beside TELEMETRY_EXPORTER."
    )


class AzureSettings(Group):
    """Identity"""

    prefix: ClassVar[str] = "AZURE_"

    credential: AzureCredential = Field(
        AzureCredential.AUTO,
        description="Where tokens come from: managed_identity, developer (az or azd sign-in) or auto (both).",
    )
    client_id: str | None = Field(
        None, description="Client id of a user-assigned managed identity; empty: the system-assigned one."
    )


class StorageSettings(Group):
    """Storage"""

    connection_string: Annotated[SecretStr | None, Named("AzureWebJobsStorage")] = Field(
        None, description="Connection string of the storage account or of Azurite; empty with ENV=DEV: files."
    )
    account_name: Annotated[str | None, Named("AzureWebJobsStorage__accountName")] = Field(
        None, description="Storage account reached with an identity instead of a connection string."
    )
    local_path: Annotated[Path, Named("LOCAL_STORAGE_PATH")] = Field(
        Path("data"), description="Folder of the files (ENV=DEV without a connection string)."
    )
    blob_trigger_source: BlobTriggerSource = Field(
        BlobTriggerSource.POLLING,
        description="How uploads are noticed: polling, or eventgrid (needed on Flex Consumption).",
    )


class GpuRetryWords(Words):
    """How calls of the GPU service are tried."""

    wait_s: float = Field(
        20.0, ge=0, le=200, description="time that a call waits for the stage's end before it comes again"
    )
    timeout_s: float = Field(
        230.0, gt=0, le=LONGEST_CALL_S, description="time limit of a call (Azure's ingress ends at 240 s)"
    )
    attempts: int = Field(5, ge=1, description="attempts of a stage that fails")
    first_s: float = Field(2.0, gt=0, description="first wait")
    coefficient: float = Field(2.0, ge=1, description="growth of the wait")
    cap_s: float = Field(60.0, gt=0, description="longest single wait")


class GpuStartWords(Words):
    """How long jobs wait for a GPU replica; until their deadline in all."""

    first_s: float = Field(3.0, gt=0, description="first wait")
    coefficient: float = Field(1.5, ge=1, description="growth of the wait")
    cap_s: float = Field(30.0, gt=0, description="longest single wait")


class GpuClientSettings(Group):
    """GPU service, as the app calls it"""

    prefix: ClassVar[str] = "GPU_"

    service_url: str = Field("http://127.0.0.1:8081", description="Base URL of the GPU service.")
    app_id: str | None = Field(
        None, description="App registration of the GPU service: calls carry a token for it; empty: no token."
    )
    retry: GpuRetryWords = Field(GpuRetryWords(), description="How its stages are tried again.")
    start: GpuStartWords = Field(
        GpuStartWords(), description="Waits for a replica to start; jobs wait until their deadline."
    )
    model_version: str = Field(
        "1",
        min_length=1,
        max_length=100,
        description="Names the models of the GPU service: with a new name nothing is taken from the cache.",
    )


class NanoBananaRetryWords(Words):
    """How the paid stage is tried."""

    # the model takes longer for 4K than for the smaller sizes
    longer_for_4k: ClassVar[float] = 2.0

    timeout_s: float = Field(
        300.0, gt=0, le=LONGEST_CALL_S, description="time limit of one paid call; twice that for 4K"
    )
    attempts: int = Field(6, ge=1, description="attempts while it certainly was not charged (503)")
    first_s: float = Field(2.0, gt=0, description="first wait")
    coefficient: float = Field(2.0, ge=1, description="growth of the wait")
    cap_s: float = Field(60.0, gt=0, description="longest single wait")
    retry_after_s: float = Field(
        300.0, ge=0, description="a server that asks for a longer wait fails the job instead"
    )
    bills_errors: bool = Field(
        False, description="the provider charges calls that it answers with 500 to 504; Google does not"
    )

    @property
    def longest_s(self) -> float:
        """Time limit of the longest paid call."""
        return self.timeout_s * self.longer_for_4k

    def limit_s(self, image_size: str) -> float:
        """Time limit of a paid call for a picture of this size class."""
        return self.longest_s if image_size == "4K" else self.timeout_s


def _readable(text: str) -> str:
    models_of(text)
    return text


class PriceWords(Words):
    """What pictures cost."""

    contract_usd: Decimal = Field(
        Decimal("0.08"),
        ge=0,
        le=MOST_USD,
        decimal_places=6,
        description="contract price of a picture whose model and size class have no price of their own",
    )
    models: Annotated[str, AfterValidator(_readable)] = Field(
        "",
        description="prices by model: `MODEL:1K=0.134,2K=0.134,4K=0.24`, several models with `;` between; "
        "with `input_tokens`, `output_tokens` and `image_tokens` (USD a million) calls are settled by tokens",
    )
    refusals: bool = Field(
        False, description="the provider charges answers without a picture too; Google does not"
    )


class ProviderName(StrEnum):
    """Services that have the image model."""

    GEMINI_API = "gemini_api"
    VERTEX = "vertex"


@dataclass(frozen=True)
class ProviderChoice:
    """A service, and the model that is asked for there."""

    name: ProviderName
    model: str


_MODEL = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_POOL = r"projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"
_OF_VERTEX = ("project", "pool", "app_id", "location", "service_account", "url")
_NEEDED_BY_VERTEX = ("project", "pool", "app_id")


class ProviderWords(Words):
    """Which service has the image model, and how the app's identity is known there."""

    name: ProviderName = Field(
        ProviderName.GEMINI_API,
        description="gemini_api (with NANO_BANANA_API_KEY) or vertex (Google Cloud, without a key)",
    )
    model: str = Field("gemini-nano-banana-2.1", pattern=f"^{_MODEL}$", description="model id")
    fallback: str | None = Field(
        None,
        pattern=f"^(gemini_api|vertex)(:{_MODEL})?$",
        description="asked where the first one charged nothing: vertex, vertex:MODEL, gemini_api:MODEL",
    )
    project: str | None = Field(None, pattern="^[a-z0-9:.-]+$", description="of vertex: the project's id")
    location: str = Field(
        "global", pattern="^[a-z0-9-]+$", description="of vertex: global, eu, us or a region"
    )
    pool: str | None = Field(
        None,
        pattern=f"^{_POOL}$",
        description="of vertex: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME",
    )
    app_id: str | None = Field(
        None, description="of vertex: app registration whose tokens of Entra ID the pool accepts"
    )
    service_account: str | None = Field(
        None,
        pattern="^[a-z0-9.-]+@[a-z0-9.-]+$",
        description="of vertex: who calls; without it the pool's identity",
    )
    url: str | None = Field(None, description="of vertex: another address than the location's")

    @property
    def choices(self) -> tuple[ProviderChoice, ...]:
        """The services in the order in which they are asked."""
        first = ProviderChoice(self.name, self.model)
        if self.fallback is None:
            return (first,)
        name, _, model = self.fallback.partition(":")
        return first, ProviderChoice(ProviderName(name), model or self.model)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("the fallback is the same service and model as the first one")
        given = [word for word in _OF_VERTEX if word in self.model_fields_set]
        if not any(choice.name is ProviderName.VERTEX for choice in self.choices):
            if given:
                raise ValueError(f"{given[0]} is for vertex, which is neither name nor fallback")
            return self
        missing = [word for word in _NEEDED_BY_VERTEX if not getattr(self, word)]
        if missing:
            raise ValueError(f"vertex needs {', '.join(missing)} too: see docs/providers.md")
        return self


class NanoBananaSettings(Group):
    """Paid image model"""

    prefix: ClassVar[str] = "NANO_BANANA_"
    # the cut-out is scaled down to this side before it is sent; part of the key of the stage cache
    max_input_side: ClassVar[int] = 2048

    base_url: str = Field(
        "https://generativelanguage.googleapis.com", description="Base URL of the image model."
    )
    api_key: SecretStr | None = Field(None, description="API key of the image model.")
    provider: ProviderWords = Field(
        ProviderWords(), description="Which service has the image model, and which one stands in for it."
    )
    prices: PriceWords = Field(PriceWords(), description="What pictures cost, by model and size class.")
    retry: NanoBananaRetryWords = Field(
        NanoBananaRetryWords(), description="Time limit of a call and how it is tried again."
    )

    @property
    def model(self) -> str:
        """The model that is asked for first."""
        return self.provider.model

    @property
    def price_table(self) -> Prices:
        """The prices, and the model that is asked for first."""
        return Prices(
            model=self.model,
            contract_micro_usd=int(self.prices.contract_usd * MICRO),
            models=models_of(self.prices.models),
            bills_refusals=self.prices.refusals,
        )


class QuotaWords(Words):
    """What one user may do."""

    jobs_per_minute: int = Field(120, ge=0, description="jobs started in a minute")
    concurrent_jobs: int = Field(200, ge=0, description="jobs that are open at once")
    usd_per_day: float = Field(20.0, ge=0, description="USD spent in a day (UTC)")
    batch_parallel: int = Field(8, gt=0, description="jobs of one batch that run at once")


class PictureWords(Words):
    """What a picture must be like."""

    formats: Formats = Field(
        tuple(ImageFormat), min_length=1, description="accepted formats by content, comma separated"
    )
    strict_type: bool = Field(False, description="refuse an image that was declared as another image type")
    max_megapixels: float = Field(
        52.0, gt=0, description="most pixels of an input, in millions; cameras of 50 MP make up to 51.1"
    )
    max_output_megapixels: float = Field(
        200.0, gt=0, description="most pixels after upscaling 4x; an input is scaled down to a 16th of it"
    )
    min_side_px: int = Field(32, gt=0, description="shortest accepted side")
    max_side_px: int = Field(12_288, gt=0, description="longest accepted side")
    min_sharpness: float = Field(
        5.0, ge=0, description="least variance of the Laplacian in the sharpest 64th of an input; 0: off"
    )
    max_nsfw_score: float = Field(
        0.8, ge=0, le=1, description="highest accepted score of the open_nsfw network; 1: off"
    )
    refuse_broken: bool = Field(
        False, description="refuse a picture that was changed since its Content Credentials were signed"
    )
    refuse_ai: bool = Field(False, description="refuse a picture that says a model made it")


class SandboxWords(Words):
    """The processes that decode untrusted pictures."""

    workers: int = Field(2, ge=1, description="processes")
    timeout_s: float = Field(
        15.0, gt=0, le=120, description="a process that takes longer is ended, the file refused"
    )
    memory_mb: int = Field(
        1024, ge=400, description="address space of a process, about 300 of it its own; more is refused"
    )
    thumbnail_memory_mb: int = Field(1536, ge=400, description="the same while it makes a thumbnail")
    queue: int = Field(
        64, ge=0, description="most files that wait, half of them one user's; more are turned away"
    )
    queue_s: float = Field(40.0, gt=0, le=60, description="longest wait for a free process")


class ContentSafetyWords(Words):
    """What Azure AI Content Safety decides."""

    max_severity: int = Field(3, ge=0, le=7, description="highest accepted severity (0, 2, 4 or 6)")
    timeout_s: float = Field(5.0, gt=0, le=60, description="time limit of each call")
    fallback: ContentSafetyFallback = Field(
        ContentSafetyFallback.LOCAL,
        description="while it does not respond: local (own network and lists decide) or wait (try later)",
    )


class ContentSafetySettings(Group):
    """Azure AI Content Safety"""

    prefix: ClassVar[str] = "CONTENT_SAFETY_"

    endpoint: str | None = Field(
        None, description="Its endpoint: it judges picture and prompt too; empty: not used."
    )
    key: SecretStr | None = Field(None, description="Its key; empty: an identity.")
    policy: ContentSafetyWords = Field(ContentSafetyWords(), description="How its answer counts.")


class GuardrailSettings(Group):
    """Guardrail"""

    max_upload_bytes: int = Field(60 * 1024 * 1024, gt=0, description="Largest accepted file.")
    picture: Annotated[PictureWords, Named("PICTURE_LIMITS")] = Field(
        PictureWords(), description="What a picture must be like."
    )
    blocked_picture_hashes: Texts = Field(
        (), description="pHashes (16 hex digits, comma separated) of pictures that are refused."
    )
    blocked_prompt_words: Texts = Field(
        (), description="Words or phrases, comma separated, that a prompt must not hold."
    )
    sandbox: Annotated[SandboxWords, Named("GUARDRAIL_SANDBOX")] = Field(
        SandboxWords(), description="The processes that decode untrusted pictures."
    )


class CredentialsWords(Words):
    """How pictures are signed, and whose signatures are trusted."""

    mode: CredentialsMode = Field(
        CredentialsMode.SIGN,
        description="off, sign (a picture that can't be signed is delivered without) or require (it is not)",
    )
    key: str | None = Field(
        None, description="key on P-256 in Key Vault, by its URL; empty with ENV=DEV: an authority for tests"
    )
    certificate: str | None = Field(
        None, description="the key's certificates as PEM: a file, or a secret in Key Vault by its URL"
    )
    timestamp: str | None = Field(
        None, pattern=r"^https?://", description="authority of RFC 3161 time stamps; empty: no time stamps"
    )
    trust: Path | None = Field(
        None, description="PEM file of CAs whose signatures count as trusted, such as the C2PA trust list"
    )
    label: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,40}$",
        description="drawn in a corner of placed pictures, for people, such as AI-generated; _ is a space",
    )


class ProvenanceSettings(Group):
    """Content Credentials"""

    credentials: Annotated[CredentialsWords, Named("CONTENT_CREDENTIALS")] = Field(
        CredentialsWords(), description="How pictures are signed, and whose signatures are trusted."
    )


class LongPollWords(Words):
    """How long the API holds a request that has nothing to report yet."""

    status_s: float = Field(30.0, ge=0, description="longest wait of /status")
    logs_s: float = Field(20.0, ge=0, description="longest wait for the first event of /logs")


class ApiSettings(Group):
    """API"""

    cors_origins: Texts = Field(
        (), description="Origins of web pages that may call the API, comma separated; empty: none."
    )
    long_poll: LongPollWords = Field(LongPollWords(), description="How long requests are held.")
    easy_auth: Annotated[bool, Named("WEBSITE_AUTH_ENABLED")] = Field(
        False,
        description="Set by Azure where App Service Authentication stands before the app: its headers count.",
    )


class CallbackWords(Words):
    """How callbacks are delivered."""

    timeout_s: float = Field(
        10.0, gt=0, le=LONGEST_CALL_S, description="time limit of one attempt, all in all"
    )
    attempts: int = Field(50, ge=1, description="most attempts")
    first_s: float = Field(5.0, gt=0, description="first wait")
    coefficient: float = Field(4.0, ge=1, description="growth of the wait")
    cap_s: float = Field(14_400.0, gt=0, description="longest single wait")
    lifetime_s: float = Field(86_400.0, gt=0, description="a callback that still fails then is given up")


class CallbackSettings(Group):
    """Callbacks"""

    signing_key: Annotated[SecretStr | None, Named("WEBHOOK_SIGNING_KEY")] = Field(
        None, description="Master key of callback signatures, 32 characters or more; empty: no callbacks."
    )
    retry: Annotated[CallbackWords, Named("CALLBACK_RETRY")] = Field(
        CallbackWords(), description="How a callback is delivered."
    )


class CircuitWords(Words):
    """When a service that fails is left alone."""

    failures: int = Field(5, ge=1, description="failures in a row after which it is no longer called")
    open_s: float = Field(15.0, gt=0, description="time until one probe is let through")
    cap_s: float = Field(300.0, gt=0, description="longest such time: it doubles with each probe that fails")
    read_s: float = Field(1.0, ge=0, description="time an instance relies on the state it has read")


class ReconcileWords(Words):
    """How the reconciler repairs."""

    grace_s: float = Field(60.0, ge=0, description="a job untouched for this long is looked at")
    restarts: int = Field(10, ge=0, description="restarts of a lost orchestration before its job fails")
    starts: int = Field(50, gt=0, description="orchestrations that one run starts again")
    jobs: int = Field(10_000, gt=0, description="jobs that one run looks at")


class RetentionWords(Words):
    """What is deleted when."""

    pictures_days: float = Field(
        30.0, gt=0, description="pictures, uploads and durable history, this long after the job's end"
    )
    events_days: float = Field(
        90.0, gt=0, description="log events, verdicts and upload tickets; jobs and money are kept for ever"
    )


class JobSettings(Group):
    """Jobs"""

    deadline_s: Annotated[float, Named("JOB_DEADLINE_S")] = Field(
        3600.0, gt=0, description="A job older than this is failed."
    )
    stage_cache: CacheScope = Field(
        CacheScope.USER,
        description="Whose finished stages a job may take over: user (one's own), shared, or off.",
    )
    circuit: CircuitWords = Field(
        CircuitWords(), description="When a service that keeps failing is left alone, and for how long."
    )
    quota: QuotaWords = Field(
        QuotaWords(), description="What a user may do, unless the user has limits of their own."
    )
    budget_usd_per_day: float = Field(
        100.0, ge=0, description="USD that all users together may spend in a day (UTC)."
    )


class UpkeepSettings(Group):
    """Upkeep"""

    reconcile_schedule: str = Field(
        "0 * * * * *", description="NCRONTAB of the reconciler (read by the host, which needs it set)."
    )
    reconcile: ReconcileWords = Field(ReconcileWords(), description="How lost work is found and repaired.")
    retention_schedule: str = Field(
        "0 */10 * * * *",
        description="NCRONTAB of the retention (read by the host, which needs it set).",
    )
    retention: RetentionWords = Field(RetentionWords(), description="What is deleted, and when.")


class Settings(Group):
    """The app"""

    env: Environment = Field(
        Environment.DEV, description="DEV or PROD; PROD always stores in Azure Blob Storage."
    )
    log_level: str = Field("INFO", description="Lowest level that is logged.")
    database_url: SecretStr = Field(
        SecretStr("sqlite:///data/imagery.db"),
        description="SQLAlchemy URL: sqlite:///file or postgresql+psycopg://user:password@host/name; "
        "a remote host without a password gets a token of Entra ID.",
    )
    storage: StorageSettings = StorageSettings()
    gpu: GpuClientSettings = GpuClientSettings()
    nano_banana: NanoBananaSettings = NanoBananaSettings()
    jobs: JobSettings = JobSettings()
    guardrail: GuardrailSettings = GuardrailSettings()
    content_safety: ContentSafetySettings = ContentSafetySettings()
    provenance: ProvenanceSettings = ProvenanceSettings()
    api: ApiSettings = ApiSettings()
    callbacks: CallbackSettings = CallbackSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    azure: AzureSettings = AzureSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def simulated(self) -> bool:
        """True when the paid service is not Google's but a stand-in on this machine."""
        provider, addresses = self.nano_banana.provider, set[str]()
        for choice in provider.choices:
            is_vertex = choice.name is ProviderName.VERTEX
            addresses.add((provider.url or _GOOGLE) if is_vertex else self.nano_banana.base_url)
        return not any(_GOOGLE in address for address in addresses)

    @property
    def job_deadline(self) -> timedelta:
        """``jobs.deadline_s`` as a time span."""
        return timedelta(seconds=self.jobs.deadline_s)


# what a child process needs to run at all; everything else, the secrets among it, it does not get
_HARMLESS = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT")


def harmless_environment() -> dict[str, str]:
    """The environment of a child process that handles untrusted files."""
    return {name: os.environ[name] for name in _HARMLESS if name in os.environ}


# what the exporters' libraries would report about themselves, to hosts of their maker
_SELF_REPORTING = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}


def turn_off_self_reporting() -> None:
    """Let the exporters call nothing but the ingestion endpoint: they read these switches from variables
    only. Call it before they are made.
    """
    os.environ.update(_SELF_REPORTING)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises ``SettingsError``."""
    return read_environment(Settings)


def read_environment(model: type[Model]) -> Model:
    """A group of settings from this process's environment. Raises ``SettingsError``."""
    return read(model, renamed(os.environ))


def layered(*environments: Mapping[str, str]) -> dict[str, str]:
    """Environments one over the other: a later one wins, in variables of several words word by word."""
    several = {variable.name for variable in variables(Settings) if variable.words}
    merged: dict[str, str] = {}
    for environment in environments:
        for name, value in environment.items():
            merged[name] = f"{merged.get(name, '')} {value}".strip() if name in several else value
    return merged


def old_settings() -> str | None:
    """What this process's variables with old names are called now. Returns None if there are none."""
    return complaint(os.environ)
