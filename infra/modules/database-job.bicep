metadata description = 'Runs what must reach the database from inside the network: migrations before each deployment, users by hand.'

import { Identity, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param environmentId string
param image string
param registryServer string
@description('Identity that may change the schema.')
param identity Identity
param databaseHost string
param databaseName string
@description('Database role of the function app.')
param applicationUser string

resource job 'Microsoft.App/jobs@2025-07-01' = {
  name: 'caj-database-${token}'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 900
      replicaRetryLimit: 1
      manualTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
      }
      registries: [
        {
          server: registryServer
          identity: identity.id
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'database'
          image: image
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          command: [
            'python'
            '-m'
            'imagery.database'
          ]
          args: [
            'upgrade'
            '--grant'
            applicationUser
          ]
          env: [
            {
              name: 'AZURE_CREDENTIAL'
              value: 'managed_identity'
            }
            {
              name: 'AZURE_CLIENT_ID'
              value: identity.clientId
            }
            {
              name: 'DATABASE_URL'
              value: 'postgresql+psycopg://${identity.name}@${databaseHost}:5432/${databaseName}?sslmode=verify-full'
            }
          ]
        }
      ]
    }
  }
}

output name string = job.name
