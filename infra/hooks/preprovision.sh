#!/bin/sh
# Makes what Bicep cannot: the app registration of the GPU app with its role, and values that are chosen once.
set -eu

. infra/hooks/again.sh

value() { azd env get-value "$1" 2>/dev/null || true; }

name="imagery-gpu-$AZURE_ENV_NAME"
app=$(az ad app list --filter "displayName eq '$name'" --query "[0].appId" --output tsv)
if [ -z "$app" ]; then
    role=$(python3 -c 'import uuid; print(uuid.uuid4())')
    roles="[{\"id\": \"$role\", \"value\": \"GPU.Invoke\", \"displayName\": \"GPU.Invoke\", \"description\": \"May call the GPU app.\", \"allowedMemberTypes\": [\"Application\"], \"isEnabled\": true}]"
    app=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg \
        --requested-access-token-version 2 --app-roles "$roles" --query appId --output tsv)
fi
# without its service principal nobody gets a token for it; a role that must be assigned keeps all others out
az ad sp show --id "$app" >/dev/null 2>&1 || again az ad sp create --id "$app" >/dev/null
again az ad sp update --id "$app" --set appRoleAssignmentRequired=true
azd env set GPU_APP_ID "$app"

[ -n "$(value BUDGET_START)" ] || azd env set BUDGET_START "$(date -u +%Y-%m-01)"
if [ -z "$(value CALLBACKS_SIGNED)" ]; then
    azd env set WEBHOOK_SIGNING_KEY "$(openssl rand -hex 32)"
fi
