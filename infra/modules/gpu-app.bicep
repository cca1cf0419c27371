metadata description = 'The GPU service: one GPU a replica, none while idle, reached from the virtual network only, with a token only.'

import { Identity, Tags } from 'types.bicep'

param location string
param tags Tags
@minLength(13)
param token string
param environmentId string
param image string
param registryServer string
@description('Identity of the app.')
param identity Identity
param storageAccountName string
param gpuAppId string
param gpuWorkloadProfile string
param minReplicas int
param maxReplicas int
param concurrentRequests int
@secure()
param applicationInsightsConnectionString string

var port = 8081
var common = loadJsonContent('../app-settings.json')
var login = '${environment().authentication.loginEndpoint}${tenant().tenantId}'
// a replica has the machine to itself
var sizes = {
  'Consumption-GPU-NC8as-T4': {
    cpu: '8.0'
    memory: '56Gi'
  }
  'Consumption-GPU-NC24-A100': {
    cpu: '24.0'
    memory: '220Gi'
  }
}
var probes = [
  {
    type: 'Startup'
    httpGet: {
      path: '/healthz'
      port: port
    }
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 48
  }
  {
    type: 'Readiness'
    httpGet: {
      path: '/readyz'
      port: port
    }
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 3
  }
  {
    type: 'Liveness'
    httpGet: {
      path: '/healthz'
      port: port
    }
    periodSeconds: 15
    timeoutSeconds: 5
    failureThreshold: 4
  }
]

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: 'ca-gpu-${token}'
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
    workloadProfileName: 'gpu'
    configuration: {
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 10
      ingress: {
        // the environment is internal, so this is the virtual network, not the internet
        external: true
        allowInsecure: false
        targetPort: port
        transport: 'http'
        // a job comes back to the replica that works on it
        stickySessions: {
          affinity: 'sticky'
        }
      }
      registries: [
        {
          server: registryServer
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'applicationinsights-connection-string'
          value: applicationInsightsConnectionString
        }
      ]
    }
    template: {
      // a little longer than GPU_DRAIN_S
      terminationGracePeriodSeconds: 35
      containers: [
        {
          name: 'gpu'
          image: image
          command: [
            'sh'
            '-c'
            loadTextContent('../gpu-start.sh')
          ]
          resources: {
            cpu: json(sizes[gpuWorkloadProfile].cpu)
            memory: sizes[gpuWorkloadProfile].memory
          }
          probes: probes
          env: [
            {
              name: 'ENV'
              value: 'PROD'
            }
            {
              name: 'AzureWebJobsStorage__accountName'
              value: storageAccountName
            }
            {
              name: 'AZURE_CREDENTIAL'
              value: 'managed_identity'
            }
            {
              name: 'AZURE_CLIENT_ID'
              value: identity.clientId
            }
            {
              name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
              secretRef: 'applicationinsights-connection-string'
            }
            {
              name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
              value: 'ClientId=${identity.clientId};Authorization=AAD'
            }
            {
              name: 'TELEMETRY_EXPORTER'
              value: common.TELEMETRY_EXPORTER
            }
            {
              name: 'GPU_HOST'
              value: '0.0.0.0'
            }
            {
              name: 'GPU_PORT'
              value: string(port)
            }
            {
              name: 'GPU_DEVICE'
              value: 'cuda'
            }
            {
              name: 'GPU_AUTH'
              value: 'issuer=${login}/v2.0 jwks_url=${login}/discovery/v2.0/keys audience=${gpuAppId} role=GPU.Invoke'
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        cooldownPeriod: 300
        pollingInterval: 15
        rules: [
          {
            name: 'http'
            http: {
              metadata: {
                concurrentRequests: string(concurrentRequests)
              }
            }
          }
        ]
      }
    }
  }
}

output name string = app.name
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
