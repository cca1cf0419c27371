#!/bin/sh
# Makes what Bicep cannot: the app registration of the GPU app with its role, and values that are chosen once.
# Looks up what Bicep must know of an environment that is there already: a new checkout, such as a pipeline's, does not.
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
# only an owner may change it: a pipeline that comes after a person finds it done
required=$(again az ad sp show --id "$app" --query appRoleAssignmentRequired --output tsv)
[ "$required" = true ] || again az ad sp update --id "$app" --set appRoleAssignmentRequired=true
azd env set GPU_APP_ID "$app"

[ -n "$(value BUDGET_START)" ] || azd env set BUDGET_START "$(date -u +%Y-%m-01)"

group="rg-$AZURE_ENV_NAME"
gpu_image='' job_image='' secrets='' signing=''
if [ "$(az group exists --name "$group")" = true ]; then
    gpu_image=$(az containerapp list --resource-group "$group" \
        --query "[?starts_with(name, 'ca-gpu-')].properties.template.containers[0].image | [0]" --output tsv)
    job_image=$(az containerapp job list --resource-group "$group" \
        --query "[?starts_with(name, 'caj-database-')].properties.template.containers[0].image | [0]" --output tsv)
    vault=$(az keyvault list --resource-group "$group" --query "[0].id" --output tsv)
    # names only, through Azure Resource Manager: it needs neither a right in the vault nor a way into its network
    secrets_of() { az rest --method get --query "$1" --output tsv --url "https://management.azure.com$vault/secrets?api-version=2023-07-01"; }
    [ -z "$vault" ] || secrets=$(secrets_of "value[].name")
    # whoever stored the certificates tagged them with the version of the key that they belong to (docs/provenance.md)
    [ -z "$vault" ] || signing=$(secrets_of "value[?name=='content-credentials'].tags.keyVersion | [0]")
fi
# whoever goes on learns it from a refused deployment; regions are added faster than lists of them
offered() { [ -z "$1" ] || printf '%s\n' "$1" | grep -qix "$2" || echo "Azure does not list $3 in $AZURE_LOCATION. 'azd env set AZURE_LOCATION' chooses another region." >&2; }
if [ -z "$gpu_image" ]; then
    offered "$(az functionapp list-flexconsumption-locations --query "[].name" --output tsv || true)" "$AZURE_LOCATION" "Flex Consumption"
    profile=${GPU_WORKLOAD_PROFILE:-Consumption-GPU-NC8as-T4}
    offered "$(az containerapp env workload-profile list-supported --location "$AZURE_LOCATION" --query "[].name" --output tsv || true)" "$profile" "$profile"
fi

stored() { printf '%s\n' "$secrets" | grep -qx "$1" && echo true || echo false; }

azd env set GPU_IMAGE "$gpu_image"
azd env set DATABASE_JOB_IMAGE "$job_image"
azd env set SIGNING_KEY_VERSION "$signing"
azd env set NANO_BANANA_KEY_STORED "$(stored nano-banana-api-key)"
if [ "$(stored webhook-signing-key)" = false ] && [ -z "$(value WEBHOOK_SIGNING_KEY)" ]; then
    azd env set WEBHOOK_SIGNING_KEY "$(openssl rand -hex 32)"
fi
