"""Runs the unmodified ``function_app.py`` where Azure Functions Core Tools is absent.

``python -m devhost --help`` shows its options. It reads ``host.json`` and ``local.settings.json`` of
the app like the real host; its own settings are

``HOST_BLOB_POLL_S``
    Seconds between two looks into the blob containers, 0.5 if not given.
``HOST_MAX_BODY_BYTES``
    Larger request bodies are answered with 413; 100 MiB if not given, as in the cloud.
``PYTHON_THREADPOOL_THREAD_COUNT``
    Threads for functions that are not async, 16 if not given.
``HOST_FAULTS_FILE``
    Faults to inject, see ``faults.py``.
``AzureWebJobs.<function>.Disabled``
    ``true`` leaves a function out, as in the cloud.

Served are HTTP, blob, timer and durable triggers with the durable client binding; an app that needs more
is refused at the start. Orchestrations live in memory and end with the process; what blobs were handled
and the function key are kept in the state folder.
"""
