metadata description = 'Blobs of the pipeline, and what the Functions host and Durable Functions keep. Entra ID only.'

import { Deployer, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param sku string
param blobLifetimeDays int
param uploadOrigins string[]
param functionsPrincipalId string
param deployer Deployer
param gpuPrincipalId string
param logAnalyticsWorkspaceId string
param privateNetworking bool
param deployerIpRanges string[]
param virtualNetworkId string
param endpointSubnetId string
param functionsSubnetId string
param containerAppsSubnetId string

var roles = loadJsonContent('../roles.json')
var hostRoles = [
  roles.storageBlobDataOwner
  roles.storageQueueDataContributor
  roles.storageTableDataContributor
]
var pictureContainers = [
  'uploads'
  'jobs'
]
var services = [
  'blob'
  'queue'
  'table'
]
var privateServices = privateNetworking ? services : []
var uploadRules = [
  {
    allowedOrigins: uploadOrigins
    allowedMethods: [
      'PUT'
    ]
    allowedHeaders: [
      'content-type'
      'x-ms-blob-type'
      'x-ms-version'
    ]
    exposedHeaders: [
      'etag'
    ]
    maxAgeInSeconds: 3600
  }
]

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  // checkov:skip=CKV_AZURE_35:privateNetworking sets Deny; without it callers need a role of Entra ID or a link
  // checkov:skip=CKV_AZURE_206:storageSku is a parameter: Standard_ZRS by default
  // checkov:skip=CKV_AZURE_43:st and 13 letters and digits of uniqueString
  name: 'st${token}'
  location: location
  tags: tags
  sku: {
    name: sku
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: privateNetworking && empty(deployerIpRanges) ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
    }
    sasPolicy: {
      expirationAction: 'Log'
      sasExpirationPeriod: '00.01:00:00'
    }
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
      ipRules: [
        for range in deployerIpRanges: {
          action: 'Allow'
          value: range
        }
      ]
      virtualNetworkRules: [
        {
          action: 'Allow'
          id: functionsSubnetId
        }
        {
          action: 'Allow'
          id: containerAppsSubnetId
        }
      ]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' = {
  parent: account
  name: 'default'
  properties: {
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    cors: {
      corsRules: empty(uploadOrigins) ? [] : uploadRules
    }
  }
}

resource uploads 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'uploads'
  properties: {
    publicAccess: 'None'
  }
}

resource jobs 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'jobs'
  properties: {
    publicAccess: 'None'
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'packages'
  properties: {
    publicAccess: 'None'
  }
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'upload-events-undelivered'
  properties: {
    publicAccess: 'None'
  }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-08-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2025-08-01' = {
  parent: account
  name: 'default'
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-08-01' = {
  parent: account
  name: 'default'
  dependsOn: [
    blobs
  ]
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-old-pictures'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [for container in pictureContainers: '${container}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: blobLifetimeDays
                }
              }
            }
          }
        }
        {
          name: 'delete-old-undelivered-events'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'upload-events-undelivered/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 30
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource functionsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in hostRoles: {
    name: guid(account.id, functionsPrincipalId, role)
    scope: account
    properties: {
      principalId: functionsPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource gpuAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(jobs.id, gpuPrincipalId, roles.storageBlobDataContributor)
  scope: jobs
  properties: {
    principalId: gpuPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
  }
}

resource deployerUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployer.id)) {
  name: guid(uploads.id, deployer.id, roles.storageBlobDataContributor)
  scope: uploads
  properties: {
    principalId: deployer.id
    principalType: deployer.type
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
  }
}

resource deployerJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployer.id)) {
  name: guid(jobs.id, deployer.id, roles.storageBlobDataReader)
  scope: jobs
  properties: {
    principalId: deployer.id
    principalType: deployer.type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataReader)
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: blobs
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'StorageRead'
        enabled: true
      }
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'Transaction'
        enabled: true
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource queueLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: queues
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'StorageRead'
        enabled: true
      }
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: tables
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    metrics: [
      {
        category: 'Transaction'
        enabled: true
      }
    ]
  }
}

module endpoints 'private-endpoint.bicep' = [
  for service in privateServices: {
    params: {
      location: location
      tags: tags
      name: 'st-${service}-${token}'
      targetId: account.id
      groupId: service
      zoneName: 'privatelink.${service}.${environment().suffixes.storage}'
      subnetId: endpointSubnetId
      virtualNetworkId: virtualNetworkId
    }
  }
]

output name string = account.name
output packageContainerUrl string = '${account.properties.primaryEndpoints.blob}${packages.name}'
