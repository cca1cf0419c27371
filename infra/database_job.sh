#!/bin/sh
# Runs a module of the app in the database job, with its rights and its settings:
#   sh infra/database_job.sh imagery.users create ann --role admin
# What it prints stands in the job's log (ContainerAppConsoleLogs).
set -eu

[ "$#" -gt 0 ] || { echo "usage: database_job.sh MODULE [ARGUMENT...]" >&2; exit 2; }
group=${AZURE_RESOURCE_GROUP:-$(azd env get-value AZURE_RESOURCE_GROUP)}
name=${DATABASE_JOB_NAME:-$(azd env get-value DATABASE_JOB_NAME)}

job=$(az containerapp job show --resource-group "$group" --name "$name" \
    --query "{id: id, container: properties.template.containers[0]}" --output json)
id=$(printf '%s' "$job" | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
# an execution of its own replaces the whole container, so image and variables go with it
body=$(printf '%s' "$job" | python3 -c '
import json, sys
known = json.load(sys.stdin)["container"]
container = {key: known[key] for key in ("name", "image", "env")}
container["resources"] = {key: known["resources"][key] for key in ("cpu", "memory")}
container["command"], container["args"] = ["python", "-m"], sys.argv[1:]
print(json.dumps({"containers": [container]}))
' "$@")
az rest --method post --url "https://management.azure.com$id/start?api-version=2025-07-01" --body "$body" --query name --output tsv
