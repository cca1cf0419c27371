"""Many images: sub-orchestrations of ``image_pipeline``, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df

from imagery.contracts import BatchInput, PipelineInput


def batch(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, int]]:
    """Input ``BatchInput``; output ``{"items", "ended"}``. Each job's row says how it ended."""
    order = BatchInput.from_json(context.get_input())
    ended = 0
    for start in range(0, len(order.pipelines), order.parallel):
        chunk = order.pipelines[start : start + order.parallel]
        context.set_custom_status({"batch_id": order.batch_id, "items": len(order.pipelines), "ended": ended})
        now = context.current_utc_datetime
        try:
            yield context.task_all(
                [
                    context.call_sub_orchestrator(
                        "image_pipeline", _due(item.pipeline, order, now).to_json(), item.instance_id
                    )
                    for item in chunk
                ]
            )
        except Exception:
            # one orchestration that broke must not stop the others: the reconciler looks after its job
            ended += len(chunk)
            continue
        ended += len(chunk)
    return {"items": len(order.pipelines), "ended": ended}


def _due(pipeline: PipelineInput, order: BatchInput, now: datetime) -> PipelineInput:
    """The pipeline with its time counted from now: what it waited for its turn is not its own."""
    if order.job_deadline_s is None:
        return pipeline
    return pipeline.model_copy(update={"deadline": now + timedelta(seconds=order.job_deadline_s)})
