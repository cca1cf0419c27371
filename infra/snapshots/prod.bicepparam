// prod.env with Durable Task Scheduler. What it deploys: prod.snapshot.json.
using '../main.bicep'

param environmentName = 'prod'
param location = 'swedencentral'
param principalId = '11111111-1111-1111-1111-111111111111'
param principalType = 'ServicePrincipal'
param durableBackend = 'durableTaskScheduler'
param schedulerSku = 'Dedicated'
param schedulerCapacity = 1
param gpuAppId = '22222222-2222-2222-2222-222222222222'
param nanoBananaKeyStored = true
param signingKeyVersion = '44444444444444444444444444444444'
param contentCredentials = 'mode=require timestamp=http://timestamp.example'
param gpuWorkloadProfile = 'Consumption-GPU-NC24-A100'
param gpuMinReplicas = 1
param gpuMaxReplicas = 8
param functionMaxInstances = 100
param functionAlwaysReady = 2
param privateNetworking = true
param buildPool = true
param databaseSku = 'Standard_D4ds_v5'
param databaseTier = 'GeneralPurpose'
param databaseStorageGB = 128
param databaseHighAvailability = true
param storageSku = 'Standard_GZRS'
param logRetentionDays = 90
param monthlyBudget = 5000
param budgetStart = '2026-01-01'
