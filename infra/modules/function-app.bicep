metadata description = 'The function app on Flex Consumption. Settings without an environment of their own are in ../app-settings.json.'

import { Identity, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
@description('Identity of the app.')
param identity Identity
param memoryMB int
param maxInstances int
param alwaysReady int
param zoneRedundant bool
param subnetId string
param storageAccountName string
param packageContainerUrl string
param databaseHost string
param databaseName string
param gpuServiceUrl string
param gpuAppId string
param signInAppId string
param keyVaultUri string
param nanoBananaSecretName string
@description('There is such a secret. A reference to none never resolves.')
param nanoBananaKeyStored bool
@description('Words of NANO_BANANA_PROVIDER; empty: its default.')
param nanoBananaProvider string
param webhookSecretName string
@description('Name of the key that signs pictures, and of the secret with its certificates.')
param signingName string
@description('The version of the key that the certificates belong to; empty: there are none.')
param signingKeyVersion string
@description('Words of CONTENT_CREDENTIALS beside key and certificate.')
param contentCredentials string
param contentSafetyEndpoint string
param schedulerConnectionString string
@secure()
param applicationInsightsConnectionString string
param logAnalyticsWorkspaceId string

var readyInstances = [
  {
    name: 'http'
    instanceCount: alwaysReady
  }
  {
    name: 'durable'
    instanceCount: alwaysReady
  }
]
var nanoBananaSettings = {
  NANO_BANANA_API_KEY: '@Microsoft.KeyVault(SecretUri=${keyVaultUri}secrets/${nanoBananaSecretName})'
}
var providerSettings = {
  NANO_BANANA_PROVIDER: nanoBananaProvider
}
// without certificates nobody signs, and no picture tries to. Words given then stay: 'require' must not turn into 'off'
var unsignedWords = empty(contentCredentials) ? 'mode=off' : contentCredentials
var signedWords = 'key=${keyVaultUri}keys/${signingName}/${signingKeyVersion} certificate=${keyVaultUri}secrets/${signingName} ${contentCredentials}'
var schedulerSettings = {
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: '${schedulerConnectionString};ClientID=${identity.clientId}'
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225:zoneRedundant is a parameter: databaseHighAvailability
  // checkov:skip=CKV_AZURE_212:Flex Consumption has alwaysReady instead
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_222:this is the public API; every call needs a key or a sign-in
  // checkov:skip=CKV_AZURE_17:callers are people and programs without certificates
  // checkov:skip=CKV_AZURE_212:Flex Consumption has alwaysReady instead
  // checkov:skip=CKV_AZURE_213:Flex Consumption does not support health checks; an alert watches /healthz
  // checkov:skip=CKV_AZURE_66:logs go to Application Insights
  // checkov:skip=CKV_AZURE_63:logs go to Application Insights
  name: 'func-${token}'
  location: location
  tags: union(tags, {
    'azd-service-name': 'functions'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    virtualNetworkSubnetId: subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.11'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: memoryMB
        maximumInstanceCount: maxInstances
        alwaysReady: alwaysReady > 0 ? readyInstances : []
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_222:settings only; see site
  // checkov:skip=CKV_AZURE_80:runs Python
  // checkov:skip=CKV_AZURE_13:settings only; see signIn
  // checkov:skip=CKV_AZURE_88:Flex Consumption runs from a package in blob storage
  // checkov:skip=CKV_AZURE_65:logs go to Application Insights
  // checkov:skip=CKV_AZURE_66:logs go to Application Insights
  // checkov:skip=CKV_AZURE_63:logs go to Application Insights
  parent: site
  name: 'appsettings'
  properties: union(
    loadJsonContent('../app-settings.json'),
    {
      ENV: 'PROD'
      AzureWebJobsStorage__accountName: storageAccountName
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.clientId
      AzureWebJobsDisableHomepage: 'true'
      APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
      // the host's own telemetry; the app's code reads it too
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.clientId};Authorization=AAD'
      AZURE_CREDENTIAL: 'managed_identity'
      AZURE_CLIENT_ID: identity.clientId
      BLOB_TRIGGER_SOURCE: 'eventgrid'
      DATABASE_URL: 'postgresql+psycopg://${identity.name}@${databaseHost}:5432/${databaseName}?sslmode=verify-full'
      GPU_SERVICE_URL: gpuServiceUrl
      GPU_APP_ID: gpuAppId
      WEBHOOK_SIGNING_KEY: '@Microsoft.KeyVault(SecretUri=${keyVaultUri}secrets/${webhookSecretName})'
      CONTENT_CREDENTIALS: empty(signingKeyVersion) ? unsignedWords : signedWords
      CONTENT_SAFETY_ENDPOINT: contentSafetyEndpoint
    },
    nanoBananaKeyStored ? nanoBananaSettings : {},
    empty(nanoBananaProvider) ? {} : providerSettings,
    empty(schedulerConnectionString) ? {} : schedulerSettings
  )
}

resource signIn 'Microsoft.Web/sites/config@2025-03-01' = if (!empty(signInAppId)) {
  // checkov:skip=CKV_AZURE_222:settings only; see site
  // checkov:skip=CKV_AZURE_80:runs Python
  // checkov:skip=CKV_AZURE_13:this is what sets it
  // checkov:skip=CKV_AZURE_88:Flex Consumption runs from a package in blob storage
  // checkov:skip=CKV_AZURE_65:logs go to Application Insights
  // checkov:skip=CKV_AZURE_66:logs go to Application Insights
  // checkov:skip=CKV_AZURE_63:logs go to Application Insights
  parent: site
  name: 'authsettingsV2'
  properties: {
    globalValidation: {
      requireAuthentication: false
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: signInAppId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
      }
    }
    login: {
      tokenStore: {
        enabled: false
      }
    }
    platform: {
      enabled: true
    }
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource siteLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: site
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'FunctionAppLogs'
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

output name string = site.name
output url string = 'https://${site.properties.defaultHostName}'
