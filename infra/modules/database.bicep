metadata description = 'PostgreSQL: Entra ID only, reachable from the virtual network only.'

import { Identity, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param sku string
param tier string
param storageGB int
param highAvailability bool
@description('Identity that may change the schema.')
param administrator Identity
param subnetId string
param virtualNetworkId string
param logAnalyticsWorkspaceId string

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: '${token}.private.postgres.database.azure.com'
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: zone
  name: 'vnet'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: virtualNetworkId
    }
  }
}

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: 'psql-${token}'
  location: location
  tags: tags
  dependsOn: [
    link
  ]
  sku: {
    name: sku
    tier: tier
  }
  properties: {
    version: '16'
    createMode: 'Default'
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Disabled'
      tenantId: tenant().tenantId
    }
    storage: {
      storageSizeGB: storageGB
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: highAvailability ? 'Enabled' : 'Disabled'
    }
    highAvailability: {
      mode: highAvailability ? 'ZoneRedundant' : 'Disabled'
    }
    network: {
      delegatedSubnetResourceId: subnetId
      privateDnsZoneArmResourceId: zone.id
      publicNetworkAccess: 'Disabled'
    }
  }
}

resource secureTransport 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2025-08-01' = {
  parent: server
  name: 'require_secure_transport'
  properties: {
    value: 'on'
    source: 'user-override'
  }
}

resource administrators 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2025-08-01' = {
  parent: server
  name: administrator.principalId
  dependsOn: [
    secureTransport
  ]
  properties: {
    principalName: administrator.name
    principalType: 'ServicePrincipal'
    tenantId: tenant().tenantId
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2025-08-01' = {
  parent: server
  name: 'imagery'
  dependsOn: [
    administrators
  ]
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource serverLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: server
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'PostgreSQLLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output host string = server.properties.fullyQualifiedDomainName
output name string = database.name
