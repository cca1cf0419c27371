"""What 1,000 images cost, from infra/cost_inputs.json: ``python -m infra.cost_model``.

``measured`` takes the times of one real job on a laptop as if each second on its processor were a second of a
GPU replica; ``cloud`` takes the expected times on a T4 and of the real provider.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

INPUTS = Path(__file__).parent / "cost_inputs.json"
IMAGES = 1000
_MINUTES_OF_A_MONTH = 30 * 24 * 60


def read_inputs() -> dict[str, float]:
    """Each input's value."""
    return {name: float(entry[0]) for name, entry in json.loads(INPUTS.read_text()).items()}


def cost(inputs: Mapping[str, float], *, measured: bool) -> dict[str, float]:
    """USD for 1,000 images by part."""
    if measured:
        gpu_s, paid_s = inputs["rembg_s"] + inputs["realesrgan_s"], inputs["paid_call_s"]
    else:
        gpu_s, paid_s = inputs["gpu_s"], inputs["paid_call_cloud_s"]
    function_s = inputs["guardrail_s"] + gpu_s + paid_s + inputs["finish_s"]
    parts = {
        "GPU seconds": gpu_s / inputs["gpu_busy_share"] * inputs["usd_gpu_s"],
        "Functions": function_s
        * inputs["function_gb"]
        / inputs["activities_at_once"]
        * inputs["usd_function_gb_s"]
        + inputs["executions"] / 1e6 * inputs["usd_million_executions"],
        "Storage": inputs["stored_mb"] / 1000 * inputs["kept_months"] * inputs["usd_gb_month"]
        + inputs["blob_writes"] / 1e4 * inputs["usd_10k_writes"]
        + inputs["durable_transactions"] / 1e4 * inputs["usd_10k_durable"],
        "Nano Banana": inputs["usd_paid_call"],
    }
    return {name: usd * IMAGES for name, usd in parts.items()}


def table() -> str:
    """Both costs as a Markdown table."""
    inputs = read_inputs()
    measured, cloud = cost(inputs, measured=True), cost(inputs, measured=False)
    rows = [f"| {name} | {measured[name]:.2f} | {cloud[name]:.2f} |" for name in measured]
    total = f"| **sum** | **{sum(measured.values()):.2f}** | **{sum(cloud.values()):.2f}** |"
    idle = f"A month in which nothing happens costs USD {idle_month(inputs):.2f} of storage requests."
    head = ["| USD for 1,000 images | the measured job | expected on a T4 |", "|---|---|---|"]
    return "\n".join([*head, *rows, total, "", idle])


def idle_month(inputs: Mapping[str, float]) -> float:
    """USD for the storage requests of a month without a job, of one instance."""
    return _MINUTES_OF_A_MONTH * inputs["idle_transactions_minute"] / 1e4 * inputs["usd_10k_durable"]


def input_table() -> str:
    """The inputs as a Markdown table."""
    entries = json.loads(INPUTS.read_text()).items()
    rows = [f"| `{name}` | {value:g} | {kind} | {source} |" for name, (value, kind, source) in entries]
    return "\n".join(["| input | value | kind | from |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n\n{input_table()}\n")
