metadata description = 'Durable Task Scheduler as the back end of Durable Functions.'

import { Deployer, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param sku string
param capacity int
param functionsPrincipalId string
param deployer Deployer

var roles = loadJsonContent('../roles.json')
var dedicated = {
  name: sku
  capacity: capacity
}
var consumption = {
  name: sku
}

resource scheduler 'Microsoft.DurableTask/schedulers@2025-11-01' = {
  name: 'dts-${token}'
  location: location
  tags: tags
  properties: {
    // an empty list lets nobody in; every caller still needs the role below
    ipAllowlist: [
      '0.0.0.0/0'
    ]
    sku: sku == 'Dedicated' ? dedicated : consumption
  }
}

resource taskHub 'Microsoft.DurableTask/schedulers/taskHubs@2025-11-01' = {
  parent: scheduler
  name: 'ImageryPipeline'
}

resource functionsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(taskHub.id, functionsPrincipalId, roles.durableTaskDataContributor)
  scope: taskHub
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.durableTaskDataContributor
    )
  }
}

resource deployerAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployer.id)) {
  name: guid(taskHub.id, deployer.id, roles.durableTaskDataContributor)
  scope: taskHub
  properties: {
    principalId: deployer.id
    principalType: deployer.type
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.durableTaskDataContributor
    )
  }
}

output connectionString string = 'Endpoint=${scheduler.properties.endpoint};Authentication=ManagedIdentity'
