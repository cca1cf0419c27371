"""Every setting, documented once: the only place of the project that reads the environment."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagery.contracts import RetryPolicy


class Environment(StrEnum):
    """Where the code runs."""

    DEV = "DEV"
    PROD = "PROD"


class TelemetryExporter(StrEnum):
    """Where telemetry goes beyond the log: see ``imagery.telemetry.azure_monitor``."""

    NONE = "none"
    OPENCENSUS = "opencensus"


class BlobTriggerSource(StrEnum):
    """How the host learns of new blobs."""

    POLLING = "polling"
    EVENT_GRID = "eventgrid"


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
        TelemetryExporter.NONE, description="none or opencensus (Application Insights)."
    )
    applicationinsights_connection_string: SecretStr | None = Field(
        None, description="Where the exporter sends to."
    )

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
        description="SQLAlchemy URL: sqlite:///file or postgresql+psycopg://user:password@host/name.",
    )

    gpu_service_url: str = Field("http://127.0.0.1:8081", description="Base URL of the GPU service.")
    gpu_timeout_s: float = Field(230.0, gt=0, description="Time limit of one call (ingress ends at 240 s).")
    gpu_retry_first_s: float = Field(2.0, gt=0, description="First wait before a GPU stage is retried.")
    gpu_retry_coefficient: float = Field(2.0, ge=1, description="Growth of the wait.")
    gpu_retry_cap_s: float = Field(60.0, gt=0, description="Longest single wait.")
    gpu_retry_attempts: int = Field(
        8, ge=1, description="Attempts a GPU stage gets (cold starts take minutes)."
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

    records_retry_attempts: int = Field(6, ge=1, description="Attempts to write a job's final state.")
    max_waits: int = Field(200, ge=0, description="Server-asked waits (Retry-After) a stage may take.")
    job_deadline_s: float = Field(3600.0, gt=0, description="A job older than this is failed.")

    max_upload_bytes: int = Field(25 * 1024 * 1024, gt=0, description="Largest accepted file.")
    max_megapixels: float = Field(50.0, gt=0, description="Most pixels of an input, in millions.")
    min_side_px: int = Field(32, gt=0, description="Shortest accepted side.")
    max_side_px: int = Field(8192, gt=0, description="Longest accepted side.")
    max_output_megapixels: float = Field(
        200.0, gt=0, description="Most pixels after upscaling 4x, in millions."
    )
    max_prompt_chars: int = Field(2000, gt=0, description="Longest accepted prompt.")

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

    status_wait_max_s: float = Field(30.0, ge=0, description="Longest long-poll of /status.")
    logs_wait_s: float = Field(20.0, ge=0, description="Longest wait for the first event in /logs.")
    http_connections: int = Field(100, gt=0, description="Most connections of one HTTP client.")

    @property
    def simulated(self) -> bool:
        """True when the paid service is not Google's but a stand-in on this machine."""
        return "googleapis.com" not in self.nano_banana_base_url

    @property
    def job_deadline(self) -> timedelta:
        """``job_deadline_s`` as a time span."""
        return timedelta(seconds=self.job_deadline_s)

    @property
    def gpu_retry(self) -> RetryPolicy:
        """Retry policy of the two GPU stages."""
        return RetryPolicy(
            first_s=self.gpu_retry_first_s,
            coefficient=self.gpu_retry_coefficient,
            cap_s=self.gpu_retry_cap_s,
            attempts=self.gpu_retry_attempts,
        )

    @property
    def nano_banana_retry(self) -> RetryPolicy:
        """Retry policy of the paid stage: only for answers that certainly cost nothing."""
        return RetryPolicy(
            first_s=self.nano_banana_retry_first_s,
            coefficient=self.nano_banana_retry_coefficient,
            cap_s=self.nano_banana_retry_cap_s,
            attempts=self.nano_banana_retry_attempts,
        )

    @property
    def records_retry(self) -> RetryPolicy:
        """Retry policy of what only writes to our own database and storage."""
        return RetryPolicy(
            first_s=1.0,
            coefficient=2.0,
            cap_s=30.0,
            attempts=self.records_retry_attempts,
        )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
