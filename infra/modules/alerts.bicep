metadata description = 'Who is told when something goes wrong, and when: one rule for each query in infra/alerts.'

import { Limits, Tags } from 'types.bicep'

param location string
param tags Tags
@description('Application Insights whose tables the rules read.')
param applicationInsightsId string
@description('Workspace behind it: the rules run in its scope.')
param logAnalyticsWorkspaceId string
@description('Where alerts are mailed to; empty: they are shown in the portal only.')
param actionGroupEmail string = ''
@description('Limits by name, see defaultLimits; missing ones keep their default.')
param limits Limits = {}

// docs/monitoring.md explains each
var defaultLimits = {
  failedJobs: 5
  failedPercent: 20
  breakerOpenMinutes: 5
  spendUsdPerHour: 10
  queueAgeMinutes: 30
  hostErrors: 5
  gpuErrors: 3
}
var limit = union(defaultLimits, limits)
var guide = 'What to do: docs/monitoring.md'

var rules = [
  {
    name: 'failed-jobs'
    title: 'Imagery: jobs fail'
    text: 'At least ${limit.failedJobs} jobs failed for one reason within 15 minutes. Look at what the code of the error says and retry the jobs when it is mended.'
    query: loadTextContent('../alerts/failed-jobs.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    column: 'failed'
    aggregation: 'Total'
    dimension: 'error_code'
    operator: 'GreaterThanOrEqual'
    threshold: limit.failedJobs
  }
  {
    name: 'failure-rate'
    title: 'Imagery: many jobs fail'
    text: 'At least ${limit.failedPercent} % of the jobs of the last 30 minutes failed, of 10 or more. Something is broken for everybody.'
    query: loadTextContent('../alerts/failure-rate.kql')
    severity: 1
    window: 'PT30M'
    every: 'PT5M'
    column: 'failed_percent'
    aggregation: 'Maximum'
    dimension: ''
    operator: 'GreaterThanOrEqual'
    threshold: limit.failedPercent
  }
  {
    name: 'breaker-open'
    title: 'Imagery: a circuit breaker stays open'
    text: 'A dependency was not called for more than ${limit.breakerOpenMinutes} of the last 10 minutes. Jobs wait and go on by themselves when it recovers, up to their deadline.'
    query: loadTextContent('../alerts/breaker-open.kql')
    severity: 1
    window: 'PT10M'
    every: 'PT5M'
    column: 'minutes_open'
    aggregation: 'Maximum'
    dimension: 'circuit'
    operator: 'GreaterThan'
    threshold: limit.breakerOpenMinutes
  }
  {
    name: 'spend-rate'
    title: 'Imagery: money is spent fast'
    text: 'More than ${limit.spendUsdPerHour} USD went to the image model within an hour. Open the breaker of nano_banana by hand to stop paying; jobs wait.'
    query: loadTextContent('../alerts/spend-rate.kql')
    severity: 1
    window: 'PT1H'
    every: 'PT5M'
    column: 'usd'
    aggregation: 'Total'
    dimension: ''
    operator: 'GreaterThan'
    threshold: limit.spendUsdPerHour
  }
  {
    name: 'queue-age'
    title: 'Imagery: jobs wait long'
    text: 'The oldest open job of a state is more than ${limit.queueAgeMinutes} minutes old. Look at what jobs wait for.'
    query: loadTextContent('../alerts/queue-age.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    column: 'age_s'
    aggregation: 'Maximum'
    dimension: 'status'
    operator: 'GreaterThan'
    threshold: limit.queueAgeMinutes * 60
  }
  {
    name: 'stuck-jobs'
    title: 'Imagery: jobs are stuck'
    text: 'A job that had begun is silent for 30 minutes, or was given up: too many restarts, waits, or its deadline. The result lists the jobs.'
    query: loadTextContent('../alerts/stuck-jobs.kql')
    severity: 1
    window: 'P1D'
    every: 'PT15M'
    column: ''
    aggregation: 'Count'
    dimension: ''
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'payment-unknown'
    title: 'Imagery: a paid call has no answer'
    text: 'A call to the image model may have been charged although its answer was lost. It is never repeated by itself: look at the bill of the provider and settle it. The result lists the jobs.'
    query: loadTextContent('../alerts/payment-unknown.kql')
    severity: 2
    window: 'P2D'
    every: 'PT15M'
    column: ''
    aggregation: 'Count'
    dimension: ''
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'budget-reached'
    title: 'Imagery: a budget is used up'
    text: 'Jobs wait or fail unpaid because the budget of the day, or that of their user, is used up. Raise it, or wait for midnight UTC.'
    query: loadTextContent('../alerts/budget-reached.kql')
    severity: 2
    window: 'PT1H'
    every: 'PT15M'
    column: 'jobs'
    aggregation: 'Maximum'
    dimension: 'budget'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'host-silent'
    title: 'Imagery: the function app is silent'
    text: 'The reconciler, which runs each minute, has sent no metrics for 15 minutes: the function app does not run, or can reach neither its database nor Application Insights.'
    query: loadTextContent('../alerts/host-silent.kql')
    severity: 0
    window: 'PT15M'
    every: 'PT5M'
    column: 'samples'
    aggregation: 'Total'
    dimension: ''
    operator: 'LessThan'
    threshold: 1
  }
  {
    name: 'host-errors'
    title: 'Imagery: the function app has errors'
    text: 'At least ${limit.hostErrors} errors of one kind within 15 minutes that no caller caused: storage, database or the code itself.'
    query: loadTextContent('../alerts/host-errors.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    column: 'errors'
    aggregation: 'Total'
    dimension: 'event'
    operator: 'GreaterThanOrEqual'
    threshold: limit.hostErrors
  }
  {
    name: 'gpu-unhealthy'
    title: 'Imagery: the GPU service is not well'
    text: 'At least ${limit.gpuErrors} errors of one kind within 15 minutes: a device or a model failed, memory ran out, or calls were not answered.'
    query: loadTextContent('../alerts/gpu-unhealthy.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    column: 'errors'
    aggregation: 'Total'
    dimension: 'reason'
    operator: 'GreaterThanOrEqual'
    threshold: limit.gpuErrors
  }
]

var operators = [
  {
    name: 'operators'
    emailAddress: actionGroupEmail
    useCommonAlertSchema: true
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-imagery'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'imagery'
    enabled: true
    emailReceivers: empty(actionGroupEmail) ? [] : operators
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'alert-imagery-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: '${rule.text} ${guide}#${rule.name}'
      severity: rule.severity
      enabled: true
      scopes: [
        logAnalyticsWorkspaceId
      ]
      targetResourceTypes: [
        'Microsoft.OperationalInsights/workspaces'
      ]
      evaluationFrequency: rule.every
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: rule.aggregation
            metricMeasureColumn: empty(rule.column) ? null : rule.column
            dimensions: filter(
              [
                {
                  name: rule.dimension
                  operator: 'Include'
                  values: [
                    '*'
                  ]
                }
              ],
              each => !empty(each.name)
            )
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // the tables are empty, and unknown to the check, until the app has run once
      skipQueryValidation: true
      actions: {
        actionGroups: [
          actionGroup.id
        ]
        customProperties: {
          guide: 'docs/monitoring.md#${rule.name}'
          applicationInsights: applicationInsightsId
        }
      }
    }
  }
]

output actionGroupId string = actionGroup.id
