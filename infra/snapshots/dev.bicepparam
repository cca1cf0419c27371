// dev.env, with sign-in and Content Safety. What it deploys: dev.snapshot.json.
using '../main.bicep'

param environmentName = 'dev'
param location = 'swedencentral'
param principalId = '11111111-1111-1111-1111-111111111111'
param gpuAppId = '22222222-2222-2222-2222-222222222222'
param signInAppId = '33333333-3333-3333-3333-333333333333'
param contentSafety = true
param purgeProtection = false
param gpuMaxReplicas = 1
param databaseSku = 'Standard_B1ms'
param storageSku = 'Standard_LRS'
param monthlyBudget = 100
param budgetStart = '2026-01-01'
