#!/bin/sh
# build_image NAME:TAG DOCKERFILE [ARGUMENT=VALUE...]: puts an image into the registry; what is printed follows on an error.
# How, says IMAGE_BUILDS: 'registry' (its agents), 'pool' (agents inside the network, see open_pool) or 'docker' (this machine).
# Read by the hooks with '.'.

IMAGE_BUILDS=${IMAGE_BUILDS:-}

build_image() {
    image=$1 file=$2
    shift 2
    for argument in "$@"; do
        shift
        set -- "$@" --build-arg "$argument"
    done
    log=$(mktemp)
    echo "Building $image (as $IMAGE_BUILDS)."
    if ! _build_image "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "$image was not built: the whole log is $log." >&2
        return 1
    fi
    rm "$log"
}

# open_pool, close_pool: the agents are paid by the hour, so there is one only while images are built
open_pool() {
    [ "$IMAGE_BUILDS" = pool ] || return 0
    trap close_pool EXIT
    az acr agentpool update --registry "$AZURE_CONTAINER_REGISTRY_NAME" --name builds --count 1 --output none
}

close_pool() {
    trap - EXIT
    [ "$IMAGE_BUILDS" = pool ] || return 0
    az acr agentpool update --registry "$AZURE_CONTAINER_REGISTRY_NAME" --name builds --count 0 --no-wait --output none ||
        echo "An agent of the registry's pool 'builds' still runs and costs money: set its count to 0." >&2
}

_build_image() {
    case $IMAGE_BUILDS in
        registry) az acr build --registry "$AZURE_CONTAINER_REGISTRY_NAME" --image "$image" --file "$file" "$@" . ;;
        pool)
            az acr build --registry "$AZURE_CONTAINER_REGISTRY_NAME" --agent-pool builds --image "$image" --file "$file" "$@" .
            ;;
        docker)
            az acr login --name "$AZURE_CONTAINER_REGISTRY_NAME" &&
                docker build --platform linux/amd64 --tag "$AZURE_CONTAINER_REGISTRY_ENDPOINT/$image" --file "$file" "$@" . &&
                docker push "$AZURE_CONTAINER_REGISTRY_ENDPOINT/$image"
            ;;
        *) echo "IMAGE_BUILDS is '$IMAGE_BUILDS', not registry, pool or docker: run azd provision first." && return 1 ;;
    esac
}
