#!/bin/sh
# Lets the function app call the GPU app, and forgets the secrets that Key Vault now holds.
set -eu

. infra/hooks/again.sh

# Entra ID shows a new service principal to everybody a while after it was made
gpu=$(again az ad sp show --id "$GPU_APP_ID" --query id --output tsv)
role=$(again az ad sp show --id "$GPU_APP_ID" --query "appRoles[?value=='GPU.Invoke'].id | [0]" --output tsv)
# asked of the app, not of the identity: so a pipeline needs no right to read other applications
assignments="https://graph.microsoft.com/v1.0/servicePrincipals/$gpu/appRoleAssignedTo"
assigned=$(again az rest --method get --url "$assignments" \
    --query "value[?principalId=='$FUNCTIONS_PRINCIPAL_ID' && appRoleId=='$role'] | [0].id" --output tsv)
if [ -z "$assigned" ]; then
    again az rest --method post --url "$assignments" --headers Content-Type=application/json \
        --body "{\"principalId\": \"$FUNCTIONS_PRINCIPAL_ID\", \"resourceId\": \"$gpu\", \"appRoleId\": \"$role\"}" >/dev/null
fi

azd env set WEBHOOK_SIGNING_KEY ""
azd env set NANO_BANANA_API_KEY ""

if [ -n "${SIGNING_KEY_VERSION:-}" ]; then
    echo "Pictures are signed by version $SIGNING_KEY_VERSION of the key content-credentials."
else
    echo "Pictures are not signed: Key Vault holds no certificates of the key content-credentials (docs/provenance.md)."
fi
