"""Composition root: registers every function of the app and holds no logic."""

import azure.durable_functions as df
import azure.functions as func
from azurefunctions.extensions.bindings import blob

from activities.finish_job import finish_job
from activities.guardrail import guardrail
from activities.notify import notify
from activities.place import place
from activities.remove_background import remove_background
from activities.upscale import upscale
from api.app import create_app
from api.durable import with_client
from imagery.reporting.push import push_metrics
from imagery.settings import BlobTriggerSource, get_settings
from imagery.telemetry.exporters.azure_monitor import configure_exporter
from imagery.telemetry.logs import configure_logging, warn_of_old_settings
from lifecycle.reconciler import reconcile
from lifecycle.retention import retain
from lifecycle.uploads import on_upload
from orchestrators.batch import batch
from orchestrators.callback import callback
from orchestrators.image_pipeline import image_pipeline

settings = get_settings()
configure_logging(settings.log_level)
warn_of_old_settings()
configure_exporter(settings)

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
asgi = func.AsgiMiddleware(create_app())
blob_source = (
    func.BlobSource.EVENT_GRID
    if settings.storage.blob_trigger_source is BlobTriggerSource.EVENT_GRID
    else func.BlobSource.LOGS_AND_CONTAINER_SCAN
)

for orchestrator in (image_pipeline, batch, callback):
    app.orchestration_trigger(context_name="context")(orchestrator)

for activity in (guardrail, remove_background, upscale, place, finish_job, notify):
    app.activity_trigger(input_name="message")(activity)


@app.function_name("http")
@app.route(route="{*path}", methods=[*func.HttpMethod])
@app.durable_client_input(client_name="client")
async def http(
    req: func.HttpRequest, context: func.Context, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Every HTTP call: the FastAPI app, with the durable client at hand."""
    with with_client(client):
        return await asgi.handle_async(req, context)


@app.function_name("uploads")
@app.blob_trigger(
    arg_name="upload", path="uploads/{name}", connection="AzureWebJobsStorage", source=blob_source
)
@app.durable_client_input(client_name="client")
async def uploads(upload: blob.BlobClient, client: df.DurableOrchestrationClient) -> None:
    """A new blob in ``uploads``."""
    await on_upload(client, upload.container_name, upload.blob_name)


@app.function_name("reconciler")
@app.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%", use_monitor=False)
@app.durable_client_input(client_name="client")
async def reconciler(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Repairs what stands still."""
    await reconcile(client)
    push_metrics()


@app.function_name("retention")
@app.timer_trigger(arg_name="timer", schedule="%RETENTION_SCHEDULE%", use_monitor=False)
@app.durable_client_input(client_name="client")
async def retention(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Deletes what is old enough, and takes in uploads that got lost."""
    await retain(client)
