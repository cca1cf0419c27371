metadata description = 'Agents inside the virtual network that build images: others have no way into a private registry.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
param registryName string
param subnetId string

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource pool 'Microsoft.ContainerRegistry/registries/agentPools@2025-03-01-preview' = {
  parent: registry
  name: 'builds'
  location: location
  tags: tags
  properties: {
    // paid by the hour: infra/image.sh starts one for a build and stops it afterwards
    count: 0
    os: 'Linux'
    tier: 'S2'
    virtualNetworkSubnetResourceId: subnetId
  }
}
