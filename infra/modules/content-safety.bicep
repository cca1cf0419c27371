metadata description = 'Azure AI Content Safety, called with the managed identity of the function app.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param restore bool
param functionsPrincipalId string
param logAnalyticsWorkspaceId string

var roles = loadJsonContent('../roles.json')

resource account 'Microsoft.CognitiveServices/accounts@2025-12-01' = {
  // checkov:skip=CKV_AZURE_134:no keys: callers need a role of Entra ID
  name: 'cs-${token}'
  location: location
  tags: tags
  kind: 'ContentSafety'
  identity: {
    type: 'SystemAssigned'
  }
  sku: {
    name: 'S0'
  }
  properties: {
    customSubDomainName: 'cs-${token}'
    disableLocalAuth: true
    // Azure refuses it where no deleted account is waiting
    restore: restore ? true : null
    publicNetworkAccess: 'Enabled'
  }
}

resource functionsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, functionsPrincipalId, roles.cognitiveServicesUser)
  scope: account
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.cognitiveServicesUser)
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource accountLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: account
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

output endpoint string = account.properties.endpoint
