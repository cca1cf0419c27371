metadata description = 'Images of the GPU app and of the database job, pulled with managed identities.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
@description('Identities that pull images.')
param pullPrincipalIds string[]
param logAnalyticsWorkspaceId string
param privateNetworking bool
param deployerIpRanges string[]
param virtualNetworkId string
param endpointSubnetId string

var roles = loadJsonContent('../roles.json')

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  // checkov:skip=CKV_AZURE_166:quarantine needs a scanner that releases images; none is part of this
  // checkov:skip=CKV_AZURE_139:privateNetworking disables it; without it callers need a role of Entra ID
  name: 'cr${token}'
  location: location
  tags: tags
  sku: {
    name: 'Premium'
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    dataEndpointEnabled: true
    publicNetworkAccess: privateNetworking && empty(deployerIpRanges) ? 'Disabled' : 'Enabled'
    networkRuleBypassOptions: 'AzureServices'
    networkRuleSet: {
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
      ipRules: [
        for range in deployerIpRanges: {
          action: 'Allow'
          value: range
        }
      ]
    }
    policies: {
      exportPolicy: {
        status: 'enabled'
      }
      retentionPolicy: {
        status: 'enabled'
        days: 30
      }
    }
  }
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for id in pullPrincipalIds: {
    name: guid(registry.id, id, roles.acrPull)
    scope: registry
    properties: {
      principalId: id
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.acrPull)
    }
  }
]

#disable-next-line use-recent-api-versions // the one stable version is older
resource registryLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: registry
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

module endpoint 'private-endpoint.bicep' = if (privateNetworking) {
  params: {
    location: location
    tags: tags
    name: 'cr-${token}'
    targetId: registry.id
    groupId: 'registry'
    zoneName: 'privatelink.azurecr.io'
    subnetId: endpointSubnetId
    virtualNetworkId: virtualNetworkId
  }
}

output name string = registry.name
output loginServer string = registry.properties.loginServer
