metadata description = 'Virtual network: function app, container apps, database and private endpoints, each in its own subnet.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
@description('A subnet for the agents that build images, with a way out for what images are made of.')
param buildPool bool
param logAnalyticsWorkspaceId string

var buildSubnets = [
  {
    name: 'builds'
    properties: {
      addressPrefix: '10.20.5.64/27'
      networkSecurityGroup: {
        id: internalOnly.id
      }
      natGateway: {
        id: buildPool ? outbound.id : null
      }
    }
  }
]

resource internalOnly 'Microsoft.Network/networkSecurityGroups@2026-01-01' = {
  name: 'nsg-internal-${token}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'deny-internet-in'
        properties: {
          access: 'Deny'
          direction: 'Inbound'
          priority: 4000
          protocol: '*'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // the one stable version is older
resource internalOnlyLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: internalOnly
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

// a subnet that nothing manages has no way out of its own
resource outboundAddress 'Microsoft.Network/publicIPAddresses@2026-01-01' = if (buildPool) {
  name: 'pip-builds-${token}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource outbound 'Microsoft.Network/natGateways@2026-01-01' = if (buildPool) {
  name: 'ng-builds-${token}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIpAddresses: [
      {
        id: outboundAddress.id
      }
    ]
  }
}

resource virtualNetwork 'Microsoft.Network/virtualNetworks@2026-01-01' = {
  name: 'vnet-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.20.0.0/16'
      ]
    }
    subnets: concat(
      [
        {
          name: 'functions'
          properties: {
            addressPrefix: '10.20.0.0/24'
            networkSecurityGroup: {
              id: internalOnly.id
            }
            serviceEndpoints: [
              {
                service: 'Microsoft.Storage'
              }
            ]
            delegations: [
              {
                name: 'flex-consumption'
                properties: {
                  serviceName: 'Microsoft.App/environments'
                }
              }
            ]
          }
        }
        {
          name: 'container-apps'
          properties: {
            addressPrefix: '10.20.2.0/23'
            networkSecurityGroup: {
              id: internalOnly.id
            }
            serviceEndpoints: [
              {
                service: 'Microsoft.Storage'
              }
            ]
            delegations: [
              {
                name: 'container-apps'
                properties: {
                  serviceName: 'Microsoft.App/environments'
                }
              }
            ]
          }
        }
        {
          name: 'database'
          properties: {
            addressPrefix: '10.20.4.0/27'
            networkSecurityGroup: {
              id: internalOnly.id
            }
            delegations: [
              {
                name: 'postgresql'
                properties: {
                  serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers'
                }
              }
            ]
          }
        }
        {
          name: 'private-endpoints'
          properties: {
            addressPrefix: '10.20.5.0/26'
            networkSecurityGroup: {
              id: internalOnly.id
            }
            privateEndpointNetworkPolicies: 'Enabled'
          }
        }
      ],
      buildPool ? buildSubnets : []
    )
  }
}

output virtualNetworkId string = virtualNetwork.id
output functionsSubnetId string = '${virtualNetwork.id}/subnets/functions'
output containerAppsSubnetId string = '${virtualNetwork.id}/subnets/container-apps'
output databaseSubnetId string = '${virtualNetwork.id}/subnets/database'
output endpointSubnetId string = '${virtualNetwork.id}/subnets/private-endpoints'
output buildSubnetId string = '${virtualNetwork.id}/subnets/builds'
