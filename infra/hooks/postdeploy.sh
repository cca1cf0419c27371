#!/bin/sh
# Sends the events of new uploads to the code that has just been deployed.
set -eu

. infra/hooks/again.sh

# the host makes its key a while after the code has come
again az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name upload-subscription \
    --template-file infra/modules/upload-subscription.bicep \
    --parameters topicName="$UPLOAD_TOPIC_NAME" storageAccountName="$STORAGE_ACCOUNT_NAME" functionAppName="$FUNCTION_APP_NAME" \
    --query properties.provisioningState --output tsv
