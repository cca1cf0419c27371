metadata description = 'One identity for each program; each module grants only what its resource needs to give.'

param location string
param tags object
param token string

resource functionsIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-functions-${token}'
  location: location
  tags: tags
}

resource gpuIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-gpu-${token}'
  location: location
  tags: tags
}

resource databaseJobIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-database-job-${token}'
  location: location
  tags: tags
}

output functions object = {
  id: functionsIdentity.id
  name: functionsIdentity.name
  clientId: functionsIdentity.properties.clientId
  principalId: functionsIdentity.properties.principalId
}
output gpu object = {
  id: gpuIdentity.id
  name: gpuIdentity.name
  clientId: gpuIdentity.properties.clientId
  principalId: gpuIdentity.properties.principalId
}
output databaseJob object = {
  id: databaseJobIdentity.id
  name: databaseJobIdentity.name
  clientId: databaseJobIdentity.properties.clientId
  principalId: databaseJobIdentity.properties.principalId
}
