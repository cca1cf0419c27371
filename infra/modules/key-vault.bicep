metadata description = 'The two secrets that have no identity to stand in for them, and the key that signs pictures. Empty values leave what is there.'

import { Deployer, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
@secure()
param nanoBananaApiKey string
@secure()
param webhookSigningKey string
param purgeProtection bool
param functionsPrincipalId string
param deployer Deployer
param logAnalyticsWorkspaceId string
param privateNetworking bool
param deployerIpRanges string[]
param virtualNetworkId string
param endpointSubnetId string

var roles = loadJsonContent('../roles.json')
var nanoBananaSecret = 'nano-banana-api-key'
var webhookSecret = 'webhook-signing-key'
var signingName = 'content-credentials'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  // checkov:skip=CKV_AZURE_110:purgeProtection is a parameter, off where environments come and go
  // checkov:skip=CKV_AZURE_109:privateNetworking sets Deny; without it callers need a role of Entra ID
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Azure refuses false: what was never on is left out
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: privateNetworking && empty(deployerIpRanges) ? 'disabled' : 'enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
      ipRules: [
        for range in deployerIpRanges: {
          value: range
        }
      ]
    }
  }
}

resource nanoBanana 'Microsoft.KeyVault/vaults/secrets@2026-02-01' = if (!empty(nanoBananaApiKey)) {
  // checkov:skip=CKV_AZURE_41:the provider sets no end; docs/operations.md says how to rotate it
  // checkov:skip=CKV_AZURE_114:contentType is set in properties
  parent: vault
  name: nanoBananaSecret
  tags: tags
  properties: {
    value: nanoBananaApiKey
    contentType: 'text/plain'
  }
}

resource webhook 'Microsoft.KeyVault/vaults/secrets@2026-02-01' = if (!empty(webhookSigningKey)) {
  // checkov:skip=CKV_AZURE_41:an end would stop all callbacks; docs/operations.md says how to rotate it
  // checkov:skip=CKV_AZURE_114:contentType is set in properties
  parent: vault
  name: webhookSecret
  tags: tags
  properties: {
    value: webhookSigningKey
    contentType: 'text/plain'
  }
}

resource signing 'Microsoft.KeyVault/vaults/keys@2026-02-01' = {
  // checkov:skip=CKV_AZURE_40:its certificate has an end; a version made by rotation gets one from the policy
  // checkov:skip=CKV_AZURE_112:an HSM needs the premium tier
  parent: vault
  name: signingName
  tags: tags
  properties: {
    kty: 'EC'
    curveName: 'P-256'
    keyOps: [
      'sign'
      'verify'
    ]
    attributes: {
      enabled: true
      exportable: false
    }
    rotationPolicy: {
      attributes: {
        expiryTime: 'P2Y'
      }
      // no 'rotate': a new version can't sign before a CA has given it a certificate
      lifetimeActions: [
        {
          action: {
            type: 'notify'
          }
          trigger: {
            timeBeforeExpiry: 'P60D'
          }
        }
      ]
    }
  }
}

resource functionsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, functionsPrincipalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}

// for this key only; keyOps leaves sign and verify of what the role allows
resource functionsSigning 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(signing.id, functionsPrincipalId, roles.keyVaultCryptoUser)
  scope: signing
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultCryptoUser)
  }
}

resource deployerSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployer.id)) {
  name: guid(vault.id, deployer.id, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    principalId: deployer.id
    principalType: deployer.type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: vault
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

module endpoint 'private-endpoint.bicep' = if (privateNetworking) {
  params: {
    location: location
    tags: tags
    name: 'kv-${token}'
    targetId: vault.id
    groupId: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
    subnetId: endpointSubnetId
    virtualNetworkId: virtualNetworkId
  }
}

output name string = vault.name
output uri string = vault.properties.vaultUri
output nanoBananaSecretName string = nanoBananaSecret
output webhookSecretName string = webhookSecret
output signingName string = signingName
