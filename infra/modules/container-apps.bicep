metadata description = 'Container Apps environment inside the virtual network, with a GPU workload profile.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param gpuWorkloadProfile string
param zoneRedundant bool
param subnetId string
param virtualNetworkId string
param logAnalyticsWorkspaceId string

resource managedEnvironment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: 'cae-${token}'
  location: location
  tags: tags
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    vnetConfiguration: {
      infrastructureSubnetId: subnetId
      internal: true
    }
    zoneRedundant: zoneRedundant
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
      {
        name: 'gpu'
        workloadProfileType: gpuWorkloadProfile
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource environmentLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: managedEnvironment
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'ContainerAppConsoleLogs'
        enabled: true
      }
      {
        category: 'ContainerAppSystemLogs'
        enabled: true
      }
    ]
  }
}

// its names are known only once the environment is there
module dns 'environment-dns.bicep' = {
  params: {
    tags: tags
    domain: managedEnvironment.properties.defaultDomain
    address: managedEnvironment.properties.staticIp
    virtualNetworkId: virtualNetworkId
  }
}

output environmentId string = managedEnvironment.id
