"""Many images: sub-orchestrations of ``image_pipeline``, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df

from imagery.contracts import BatchInput


def batch(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, int]]:
    """Input ``BatchInput``; output ``{"items", "ended"}``. Each job's row tells how it ended."""
    order = BatchInput.from_json(context.get_input())
    ended = 0
    for start in range(0, len(order.pipelines), order.parallel):
        chunk = order.pipelines[start : start + order.parallel]
        context.set_custom_status({"batch_id": order.batch_id, "items": len(order.pipelines), "ended": ended})
        try:
            yield context.task_all(
                [
                    context.call_sub_orchestrator("image_pipeline", item.pipeline.to_json(), item.instance_id)
                    for item in chunk
                ]
            )
        except Exception:
            # one orchestration that broke must not stop the others: the reconciler sees to its job
            ended += len(chunk)
            continue
        ended += len(chunk)
    return {"items": len(order.pipelines), "ended": ended}
