metadata description = 'One identity for each program; each module grants only what its resource needs to give.'

import { Identity, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string

resource functionsIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-functions-${token}'
  location: location
  tags: tags
}

resource gpuIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-gpu-${token}'
  location: location
  tags: tags
}

resource databaseJobIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-database-job-${token}'
  location: location
  tags: tags
}

output functions Identity = {
  id: functionsIdentity.id
  name: functionsIdentity.name
  clientId: functionsIdentity.properties.clientId
  principalId: functionsIdentity.properties.principalId
}
output gpu Identity = {
  id: gpuIdentity.id
  name: gpuIdentity.name
  clientId: gpuIdentity.properties.clientId
  principalId: gpuIdentity.properties.principalId
}
output databaseJob Identity = {
  id: databaseJobIdentity.id
  name: databaseJobIdentity.name
  clientId: databaseJobIdentity.properties.clientId
  principalId: databaseJobIdentity.properties.principalId
}
