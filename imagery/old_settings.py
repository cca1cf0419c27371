"""Names of settings that the version before this one had. They still work; the next version drops them."""

from __future__ import annotations

from collections.abc import Mapping

# what an old variable is now: another variable, or a word of one
NOW = {
    "TELEMETRY_SAMPLING": ("TELEMETRY_EXPORT", "sampling"),
    "TELEMETRY_QUEUE": ("TELEMETRY_EXPORT", "queue"),
    "TELEMETRY_INTERVAL_S": ("TELEMETRY_EXPORT", "interval_s"),
    "TELEMETRY_TIMEOUT_S": ("TELEMETRY_EXPORT", "timeout_s"),
    "TELEMETRY_FLUSH_S": ("TELEMETRY_EXPORT", "flush_s"),
    "TELEMETRY_METRICS_S": ("TELEMETRY_EXPORT", "metrics_s"),
    "GPU_TIMEOUT_S": ("GPU_RETRY", "timeout_s"),
    "GPU_RETRY_FIRST_S": ("GPU_RETRY", "first_s"),
    "GPU_RETRY_COEFFICIENT": ("GPU_RETRY", "coefficient"),
    "GPU_RETRY_CAP_S": ("GPU_RETRY", "cap_s"),
    "GPU_RETRY_ATTEMPTS": ("GPU_RETRY", "attempts"),
    "GPU_REPLICA_FIRST_S": ("GPU_START", "first_s"),
    "GPU_REPLICA_COEFFICIENT": ("GPU_START", "coefficient"),
    "GPU_REPLICA_CAP_S": ("GPU_START", "cap_s"),
    "NANO_BANANA_PRICE_USD": ("NANO_BANANA_PRICES", "contract_usd"),
    "NANO_BANANA_TIMEOUT_S": ("NANO_BANANA_RETRY", "timeout_s"),
    "NANO_BANANA_RETRY_FIRST_S": ("NANO_BANANA_RETRY", "first_s"),
    "NANO_BANANA_RETRY_COEFFICIENT": ("NANO_BANANA_RETRY", "coefficient"),
    "NANO_BANANA_RETRY_CAP_S": ("NANO_BANANA_RETRY", "cap_s"),
    "NANO_BANANA_RETRY_ATTEMPTS": ("NANO_BANANA_RETRY", "attempts"),
    "NANO_BANANA_MAX_RETRY_AFTER_S": ("NANO_BANANA_RETRY", "retry_after_s"),
    "NANO_BANANA_MODEL": ("NANO_BANANA_PROVIDER", "model"),
    "CIRCUIT_FAILURES": ("CIRCUIT", "failures"),
    "CIRCUIT_OPEN_S": ("CIRCUIT", "open_s"),
    "CIRCUIT_OPEN_CAP_S": ("CIRCUIT", "cap_s"),
    "CIRCUIT_READ_S": ("CIRCUIT", "read_s"),
    "ALLOWED_FORMATS": ("PICTURE_LIMITS", "formats"),
    "STRICT_CONTENT_TYPE": ("PICTURE_LIMITS", "strict_type"),
    "MAX_MEGAPIXELS": ("PICTURE_LIMITS", "max_megapixels"),
    "MAX_OUTPUT_MEGAPIXELS": ("PICTURE_LIMITS", "max_output_megapixels"),
    "MIN_SIDE_PX": ("PICTURE_LIMITS", "min_side_px"),
    "MAX_SIDE_PX": ("PICTURE_LIMITS", "max_side_px"),
    "MIN_SHARPNESS": ("PICTURE_LIMITS", "min_sharpness"),
    "MAX_NSFW_SCORE": ("PICTURE_LIMITS", "max_nsfw_score"),
    "CONTENT_SAFETY_MAX_SEVERITY": ("CONTENT_SAFETY_POLICY", "max_severity"),
    "CONTENT_SAFETY_TIMEOUT_S": ("CONTENT_SAFETY_POLICY", "timeout_s"),
    "CONTENT_SAFETY_FALLBACK": ("CONTENT_SAFETY_POLICY", "fallback"),
    "GUARDRAIL_WORKERS": ("GUARDRAIL_SANDBOX", "workers"),
    "GUARDRAIL_TIMEOUT_S": ("GUARDRAIL_SANDBOX", "timeout_s"),
    "GUARDRAIL_MEMORY_MB": ("GUARDRAIL_SANDBOX", "memory_mb"),
    "GUARDRAIL_THUMBNAIL_MEMORY_MB": ("GUARDRAIL_SANDBOX", "thumbnail_memory_mb"),
    "GUARDRAIL_QUEUE_S": ("GUARDRAIL_SANDBOX", "queue_s"),
    "GUARDRAIL_QUEUE_LIMIT": ("GUARDRAIL_SANDBOX", "queue"),
    "QUOTA_JOBS_PER_MINUTE": ("QUOTA", "jobs_per_minute"),
    "QUOTA_CONCURRENT_JOBS": ("QUOTA", "concurrent_jobs"),
    "QUOTA_USD_PER_DAY": ("QUOTA", "usd_per_day"),
    "BATCH_PARALLEL": ("QUOTA", "batch_parallel"),
    "CALLBACK_TIMEOUT_S": ("CALLBACK_RETRY", "timeout_s"),
    "CALLBACK_RETRY_FIRST_S": ("CALLBACK_RETRY", "first_s"),
    "CALLBACK_RETRY_COEFFICIENT": ("CALLBACK_RETRY", "coefficient"),
    "CALLBACK_RETRY_CAP_S": ("CALLBACK_RETRY", "cap_s"),
    "CALLBACK_LIFETIME_S": ("CALLBACK_RETRY", "lifetime_s"),
    "CALLBACK_MAX_ATTEMPTS": ("CALLBACK_RETRY", "attempts"),
    "RECONCILE_GRACE_S": ("RECONCILE", "grace_s"),
    "RECONCILE_MAX_RESTARTS": ("RECONCILE", "restarts"),
    "RECONCILE_MAX_STARTS": ("RECONCILE", "starts"),
    "RECONCILE_MAX_JOBS": ("RECONCILE", "jobs"),
    "RETENTION_PICTURES_DAYS": ("RETENTION", "pictures_days"),
    "RETENTION_EVENTS_DAYS": ("RETENTION", "events_days"),
    "STATUS_WAIT_MAX_S": ("LONG_POLL", "status_s"),
    "LOGS_WAIT_S": ("LONG_POLL", "logs_s"),
    # the GPU service
    "GPU_BACKGROUND_MODEL": ("GPU_NETWORKS", "background"),
    "GPU_UPSCALE_MODEL": ("GPU_NETWORKS", "upscale"),
    "GPU_RUNTIME": ("GPU_NETWORKS", "runtime"),
    "GPU_PRECISION": ("GPU_NETWORKS", "precision"),
    "GPU_THREADS": ("GPU_NETWORKS", "threads"),
    "GPU_TILE": ("GPU_MEMORY", "tile"),
    "GPU_MAX_BATCH": ("GPU_MEMORY", "batch"),
    "GPU_MEMORY_SHARE": ("GPU_MEMORY", "share"),
    "GPU_CPU_MEMORY_GB": ("GPU_MEMORY", "cpu_gb"),
    "GPU_AUTH_ISSUER": ("GPU_AUTH", "issuer"),
    "GPU_AUTH_JWKS_URL": ("GPU_AUTH", "jwks_url"),
    "GPU_AUTH_AUDIENCE": ("GPU_AUTH", "audience"),
    "GPU_AUTH_ROLE": ("GPU_AUTH", "role"),
    "MODEL_CACHE": ("GPU_MODEL_CACHE", None),
}

# what nobody had a reason to change: constants beside their use
GONE = frozenset(
    """
    TOKEN_MARGIN_S SAS_LIFETIME_S JOURNAL_WAIT_S NANO_BANANA_MAX_INPUT_SIDE NANO_BANANA_MAX_RESPONSE_BYTES
    RETRY_JITTER RECORDS_RETRY_ATTEMPTS MAX_WAITS MAX_FRAMES MAX_COMPRESSION_RATIO MAX_METADATA_BYTES
    MIN_CONTRAST MAX_UNIFORM_SHARE MIN_HIGHLIGHT MAX_SHADOW BLOCKED_PICTURE_DISTANCE MAX_PROMPT_CHARS
    GUARDRAIL_WORKER_PICTURES SESSION_LIFETIME_S MAX_JSON_BYTES BATCH_MAX_ITEMS RECONCILE_PAGE
    RETENTION_MAX_JOBS RETENTION_SWEEP_BLOBS LOGS_POLL_S LOGS_RECONNECT_MS LOGS_PAGE LOGS_TAIL
    LOGS_SCAN_EVENTS METRICS_GPU_WAIT_S METRICS_GPU_FRESH_S METRICS_GPU_STALE_S HTTP_CONNECTIONS
    GPU_MAX_GRAPHS GPU_MIN_TILE GPU_BANDS_AHEAD GPU_ALPHA GPU_MIN_CONFIDENCE GPU_MIN_CONTRAST
    GPU_MIN_COVERAGE GPU_MAX_RETRY_AFTER_S GPU_MAX_MEGAPIXELS GPU_READERS GPU_MEGAPIXELS_IN_FLIGHT
    GPU_PNG_LEVEL GPU_MAX_BYTES GPU_DEFAULT_DEADLINE_S GPU_AUTH_SKEW_S GPU_AUTH_KEYS_REFRESH_S
    GPU_AUTH_KEYS_INTERVAL_S GPU_AUTH_KEYS_LIFETIME_S GPU_REPLICA GPU_QUEUE_LIMIT
    GPU_COMPILE
    """.split()  # noqa: SIM905  # shorter
)


def renamed(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the new form of every old variable in it; what has the new form already wins."""
    told = dict(environment)
    for old, (variable, word) in NOW.items():
        value = "".join(environment.get(old, "").split())
        if not value:
            continue
        now = told.get(variable, "")
        told[variable] = f"{word}={value} {now}" if word else now or value
    return told


def complaint(environment: Mapping[str, str]) -> str | None:
    """A sentence on each old variable that is set, with its new form. Returns None if there is none."""
    sentences = [
        f"{old} is now " + (f'{variable}="{word}=..."' if word else variable)
        for old, (variable, word) in NOW.items()
        if environment.get(old)
    ]
    sentences += [f"{old} no longer has an effect" for old in sorted(GONE) if environment.get(old)]
    if not sentences:
        return None
    return "; ".join(sentences) + ". Old names stop working in the next version: see docs/settings.md."
