#!/bin/sh
# Builds the images, and brings the database and the GPU app up to date before the code that needs them.
set -eu

. infra/image.sh

# a tag may name another image tomorrow than the one that was tried
if ! python3 -m infra.pin_images --check && [ "${PINNED_IMAGES:-}" = required ]; then
    echo "Nothing is built: 'make pin' writes the missing digests; 'azd env set PINNED_IMAGES no' goes on without them." >&2
    exit 1
fi

functions="functions:$(git rev-parse --short=12 HEAD)"
# an image of the same files and the same base is not built again
parts=$(git ls-files -- .dockerignore gpu_container imagery)
# shellcheck disable=SC2086
gpu="gpu:$({ echo "${CUDA_IMAGE:-}"; cat $parts; } | git hash-object --stdin | cut -c1-12)"
running=$(az containerapp show --resource-group "$AZURE_RESOURCE_GROUP" --name "$GPU_APP_NAME" \
    --query "properties.template.containers[0].image" --output tsv)

open_pool
# the digests of the base images, where some are pinned
build_image "$functions" Dockerfile ${FUNCTIONS_IMAGE:+"FUNCTIONS_IMAGE=$FUNCTIONS_IMAGE"}
if [ "$running" != "$AZURE_CONTAINER_REGISTRY_ENDPOINT/$gpu" ]; then
    build_image "$gpu" gpu_container/Dockerfile ${CUDA_IMAGE:+"CUDA_IMAGE=$CUDA_IMAGE"}
fi
close_pool

image="$AZURE_CONTAINER_REGISTRY_ENDPOINT/$functions"
az containerapp job update --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" --image "$image" >/dev/null
run=$(az containerapp job start --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" --query name --output tsv)
tries=0
status=
while [ "$tries" -lt 90 ] && [ "$status" != Succeeded ]; do
    status=$(az containerapp job execution show --resource-group "$AZURE_RESOURCE_GROUP" --name "$DATABASE_JOB_NAME" \
        --job-execution-name "$run" --query properties.status --output tsv)
    case $status in
        Succeeded) echo "The database is up to date." ;;
        Failed | Stopped | Degraded) break ;;
        *) sleep 10 ;;
    esac
    tries=$((tries + 1))
done
if [ "$status" != Succeeded ]; then
    echo "The database job $run ended as '$status': its log is in Log Analytics (ContainerAppConsoleLogs)." >&2
    exit 1
fi

if [ "$running" != "$AZURE_CONTAINER_REGISTRY_ENDPOINT/$gpu" ]; then
    az containerapp update --resource-group "$AZURE_RESOURCE_GROUP" --name "$GPU_APP_NAME" \
        --image "$AZURE_CONTAINER_REGISTRY_ENDPOINT/$gpu" >/dev/null
    echo "The GPU app has a new revision."
fi
