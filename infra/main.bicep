targetScope = 'subscription'

metadata description = 'The whole system: function app, GPU container app, storage, database and what watches over them.'

import { Limits } from 'modules/types.bicep'

@minLength(1)
@maxLength(20)
@description('Name of the environment; part of every name.')
param environmentName string

@minLength(1)
@metadata({
  azd: {
    type: 'location'
    default: 'swedencentral'
  }
})
@description('Region of everything; it must offer Flex Consumption and the chosen GPU, and agent pools for buildPool. infra/hooks/preprovision.sh asks Azure.')
param location string

@allowed([
  'azureStorage'
  'durableTaskScheduler'
])
@description('Where Durable Functions keeps its state. host.json must name the same: python -m infra.durable_backend changes both.')
param durableBackend string = 'azureStorage'

@allowed([
  'Consumption'
  'Dedicated'
])
@description('Durable Task Scheduler: Consumption dispatches up to 500 actions a second, Dedicated 2000 for each capacity unit.')
param schedulerSku string = 'Consumption'

@minValue(1)
@maxValue(3)
@description('Capacity units of a Dedicated scheduler.')
param schedulerCapacity int = 1

@allowed([
  'Consumption-GPU-NC8as-T4'
  'Consumption-GPU-NC24-A100'
])
@description('Hardware of the GPU app: T4 (16 GB) or A100 (80 GB), one GPU a replica.')
param gpuWorkloadProfile string = 'Consumption-GPU-NC8as-T4'

@minValue(0)
@description('GPU replicas that always run. 0 costs nothing while idle, and the first job waits for one to start.')
param gpuMinReplicas int = 0

@minValue(1)
@description('Most GPU replicas; the quota of the subscription must allow as many GPUs.')
param gpuMaxReplicas int = 4

@minValue(1)
@description('Requests of one replica at once before another one is started.')
param gpuConcurrentRequests int = 2

@description('Image of the GPU app; a placeholder until the first deployment.')
param gpuImage string = 'mcr.microsoft.com/azure-functions/python:4-python3.11'

@description('Image of the database job; a placeholder until the first deployment.')
param databaseJobImage string = 'mcr.microsoft.com/k8se/quickstart:latest'

@description('Object id of who deploys; azd sets AZURE_PRINCIPAL_ID. Empty: nobody but the programs gets data roles.')
param principalId string = ''

@allowed([
  'User'
  'ServicePrincipal'
])
@description('Kind of principalId; azd sets AZURE_PRINCIPAL_TYPE.')
param principalType string = 'User'

@description('Client id of the app registration that stands for the GPU app (infra/hooks/preprovision.sh makes it).')
param gpuAppId string

@description('Client id of an app registration that signs people in at the function app; empty: API keys only.')
param signInAppId string = ''

@allowed([
  512
  2048
  4096
])
@description('Memory of a function instance, MB.')
param functionMemoryMB int = 4096

@minValue(40)
@maxValue(1000)
@description('Most function instances.')
param functionMaxInstances int = 40

@description('Function instances that always run, for HTTP calls and for orchestrations each.')
param functionAlwaysReady int = 0

@secure()
@description('Key of Nano Banana; empty leaves the one in Key Vault as it is.')
param nanoBananaApiKey string = ''

@description('Key Vault already holds a key of Nano Banana; infra/hooks/preprovision.sh looks it up.')
param nanoBananaKeyStored bool = false

@description('Which service has the image model, in the words of NANO_BANANA_PROVIDER (docs/providers.md); empty: the default.')
param nanoBananaProvider string = ''

@secure()
@description('Master key of callback signatures, 32 characters or more; empty leaves the one in Key Vault as it is.')
param webhookSigningKey string = ''

@description('Version of the key content-credentials in Key Vault that the stored certificates belong to; infra/hooks/preprovision.sh looks it up. Empty: none are stored, and pictures are not signed.')
param signingKeyVersion string = ''

@description('Words of CONTENT_CREDENTIALS beside key and certificate (docs/provenance.md), such as mode=require; empty: their defaults.')
param contentCredentials string = ''

@description('Keeps a deleted Key Vault for 90 days, whatever happens; its name is not free before. It can never be turned off again.')
param purgeProtection bool = true

@description('Takes a deleted Content Safety account back: needed for 48 days after azd down without --purge.')
param restoreContentSafety bool = false

@description('Private endpoints for storage, Key Vault and registry, and no public way in beside deployerIpRanges.')
param privateNetworking bool = false

@description('Builds the images of privateNetworking by agents inside the network (preview, not in every region); false: whoever deploys builds them with Docker and needs a way into the registry.')
param buildPool bool = false

@description('Public addresses (CIDR, comma separated) that still reach storage, Key Vault and registry with privateNetworking.')
param deployerIpRanges string = ''

@description('Compute size of the database.')
param databaseSku string = 'Standard_B2s'

@allowed([
  'Burstable'
  'GeneralPurpose'
  'MemoryOptimized'
])
@description('Tier of databaseSku.')
param databaseTier string = 'Burstable'

@description('Storage of the database, GB; it grows by itself.')
param databaseStorageGB int = 32

@description('A standby in another zone (not with Burstable), and backups in the paired region.')
param databaseHighAvailability bool = false

@description('Copies of blobs: Standard_LRS (one data centre), Standard_ZRS (zones) or Standard_GZRS (a second region).')
param storageSku string = 'Standard_ZRS'

@minValue(31)
@description('Uploads and job files are deleted by the storage account this long after their last change, whatever the code does. Longer than pictures_days in RETENTION.')
param blobLifetimeDays int = 180

@description('Origins of web pages, comma separated, that may upload to storage with a link; empty: none.')
param uploadOrigins string = ''

@description('Azure AI Content Safety for the guardrail.')
param contentSafety bool = false

@description('Days that logs are kept.')
param logRetentionDays int = 30

@description('Where alerts and budget warnings are mailed to; empty: shown in the portal only.')
param alertEmail string = ''

@description('Limits of the alerts, by name; missing ones have defaults.')
param alertLimits Limits = {}

@minValue(1)
@description('Monthly budget of the resource group in the currency of the subscription.')
param monthlyBudget int = 300

@description('First day of the month from which the budget counts.')
param budgetStart string = utcNow('yyyy-MM-01')

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
  application: 'imagery-guardrail'
}
var ipRanges = empty(deployerIpRanges) ? [] : split(deployerIpRanges, ',')
var origins = empty(uploadOrigins) ? [] : split(uploadOrigins, ',')
var deployer = {
  id: principalId
  type: principalType
}
var zoneRedundant = databaseHighAvailability
var buildsInPool = privateNetworking && buildPool

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    retentionDays: logRetentionDays
    publisherPrincipalIds: [
      identities.outputs.functions.principalId
      identities.outputs.gpu.principalId
    ]
  }
}

module identities 'modules/identities.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
  }
}

module network 'modules/network.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    buildPool: buildsInPool
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    sku: storageSku
    blobLifetimeDays: blobLifetimeDays
    uploadOrigins: origins
    functionsPrincipalId: identities.outputs.functions.principalId
    deployer: deployer
    gpuPrincipalId: identities.outputs.gpu.principalId
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
    privateNetworking: privateNetworking
    deployerIpRanges: ipRanges
    virtualNetworkId: network.outputs.virtualNetworkId
    endpointSubnetId: network.outputs.endpointSubnetId
    functionsSubnetId: network.outputs.functionsSubnetId
    containerAppsSubnetId: network.outputs.containerAppsSubnetId
  }
}

module uploadEvents 'modules/upload-events.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    storageAccountName: storage.outputs.name
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module keyVault 'modules/key-vault.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    nanoBananaApiKey: nanoBananaApiKey
    webhookSigningKey: webhookSigningKey
    purgeProtection: purgeProtection
    functionsPrincipalId: identities.outputs.functions.principalId
    deployer: deployer
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
    privateNetworking: privateNetworking
    deployerIpRanges: ipRanges
    virtualNetworkId: network.outputs.virtualNetworkId
    endpointSubnetId: network.outputs.endpointSubnetId
  }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    pullPrincipalIds: [
      identities.outputs.gpu.principalId
      identities.outputs.databaseJob.principalId
    ]
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
    privateNetworking: privateNetworking
    deployerIpRanges: ipRanges
    virtualNetworkId: network.outputs.virtualNetworkId
    endpointSubnetId: network.outputs.endpointSubnetId
  }
}

module pool 'modules/build-pool.bicep' = if (buildsInPool) {
  scope: group
  params: {
    location: location
    tags: tags
    registryName: registry.outputs.name
    subnetId: network.outputs.buildSubnetId
  }
}

module database 'modules/database.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    sku: databaseSku
    tier: databaseTier
    storageGB: databaseStorageGB
    highAvailability: databaseHighAvailability
    administrator: identities.outputs.databaseJob
    subnetId: network.outputs.databaseSubnetId
    virtualNetworkId: network.outputs.virtualNetworkId
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module scheduler 'modules/durable-task-scheduler.bicep' = if (durableBackend == 'durableTaskScheduler') {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    sku: schedulerSku
    capacity: schedulerCapacity
    functionsPrincipalId: identities.outputs.functions.principalId
    deployer: deployer
  }
}

module safety 'modules/content-safety.bicep' = if (contentSafety) {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    functionsPrincipalId: identities.outputs.functions.principalId
    restore: restoreContentSafety
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module containerApps 'modules/container-apps.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    gpuWorkloadProfile: gpuWorkloadProfile
    zoneRedundant: zoneRedundant
    subnetId: network.outputs.containerAppsSubnetId
    virtualNetworkId: network.outputs.virtualNetworkId
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module gpu 'modules/gpu-app.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    environmentId: containerApps.outputs.environmentId
    image: gpuImage
    registryServer: registry.outputs.loginServer
    identity: identities.outputs.gpu
    storageAccountName: storage.outputs.name
    gpuAppId: gpuAppId
    gpuWorkloadProfile: gpuWorkloadProfile
    minReplicas: gpuMinReplicas
    maxReplicas: gpuMaxReplicas
    concurrentRequests: gpuConcurrentRequests
    applicationInsightsConnectionString: monitoring.outputs.connectionString
  }
}

module databaseJob 'modules/database-job.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    environmentId: containerApps.outputs.environmentId
    image: databaseJobImage
    registryServer: registry.outputs.loginServer
    identity: identities.outputs.databaseJob
    databaseHost: database.outputs.host
    databaseName: database.outputs.name
    applicationUser: identities.outputs.functions.name
  }
}

module functions 'modules/function-app.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    identity: identities.outputs.functions
    memoryMB: functionMemoryMB
    maxInstances: functionMaxInstances
    alwaysReady: functionAlwaysReady
    zoneRedundant: zoneRedundant
    subnetId: network.outputs.functionsSubnetId
    storageAccountName: storage.outputs.name
    packageContainerUrl: storage.outputs.packageContainerUrl
    databaseHost: database.outputs.host
    databaseName: database.outputs.name
    gpuServiceUrl: gpu.outputs.url
    gpuAppId: gpuAppId
    signInAppId: signInAppId
    keyVaultUri: keyVault.outputs.uri
    nanoBananaSecretName: keyVault.outputs.nanoBananaSecretName
    nanoBananaKeyStored: nanoBananaKeyStored || !empty(nanoBananaApiKey)
    nanoBananaProvider: nanoBananaProvider
    webhookSecretName: keyVault.outputs.webhookSecretName
    signingName: keyVault.outputs.signingName
    signingKeyVersion: signingKeyVersion
    contentCredentials: contentCredentials
    contentSafetyEndpoint: contentSafety ? safety!.outputs.endpoint : ''
    schedulerConnectionString: durableBackend == 'durableTaskScheduler' ? scheduler!.outputs.connectionString : ''
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
    actionGroupEmail: alertEmail
    limits: alertLimits
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module budget 'modules/budget.bicep' = {
  scope: group
  params: {
    amount: monthlyBudget
    start: budgetStart
    email: alertEmail
  }
}

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.loginServer
output AZURE_CONTAINER_REGISTRY_NAME string = registry.outputs.name
output IMAGE_BUILDS string = buildsInPool ? 'pool' : privateNetworking ? 'docker' : 'registry'
output API_URL string = functions.outputs.url
output FUNCTION_APP_NAME string = functions.outputs.name
output FUNCTIONS_PRINCIPAL_ID string = identities.outputs.functions.principalId
output GPU_SERVICE_URL string = gpu.outputs.url
output GPU_APP_NAME string = gpu.outputs.name
output STORAGE_ACCOUNT_NAME string = storage.outputs.name
output UPLOAD_TOPIC_NAME string = uploadEvents.outputs.topicName
output DATABASE_HOST string = database.outputs.host
output DATABASE_JOB_NAME string = databaseJob.outputs.name
output KEY_VAULT_NAME string = keyVault.outputs.name
output APPLICATION_INSIGHTS_NAME string = monitoring.outputs.applicationInsightsName
output DURABLE_BACKEND string = durableBackend
