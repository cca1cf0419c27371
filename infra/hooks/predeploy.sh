#!/bin/sh
# Brings the database up to date before the code that needs it: migrations only add, so the running code goes on.
set -eu

tag=$(git rev-parse --short=12 HEAD)
image="$AZURE_CONTAINER_REGISTRY_ENDPOINT/functions:$tag"
# the digest of the Functions base image, if one is pinned
base=${FUNCTIONS_IMAGE:+--build-arg FUNCTIONS_IMAGE=$FUNCTIONS_IMAGE}
# shellcheck disable=SC2086
az acr build --registry "$AZURE_CONTAINER_REGISTRY_NAME" --image "functions:$tag" --file Dockerfile $base . >/dev/null
az containerapp job update --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" --image "$image" >/dev/null
azd env set DATABASE_JOB_IMAGE "$image"

run=$(az containerapp job start --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" --query name --output tsv)
tries=0
while [ "$tries" -lt 90 ]; do
    status=$(az containerapp job execution show --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" \
        --job-execution-name "$run" --query properties.status --output tsv)
    case $status in
        Succeeded) echo "The database is up to date."; exit 0 ;;
        Failed | Stopped | Degraded) break ;;
    esac
    tries=$((tries + 1))
    sleep 10
done
echo "The database job $run ended as '$status': its log is in Log Analytics (ContainerAppConsoleLogs)." >&2
exit 1
