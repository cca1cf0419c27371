metadata description = 'The workbook that shows jobs, stages, money, guardrail, GPU, breakers and errors.'

import { Tags } from 'types.bicep'

param location string
param tags Tags
@description('Workspace whose tables the workbook reads.')
param logAnalyticsWorkspaceId string

var content = replace(loadTextContent('../workbook/imagery.workbook.json'), '{workspaceId}', logAnalyticsWorkspaceId)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'imagery-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Imagery pipeline'
    category: 'workbook'
    sourceId: logAnalyticsWorkspaceId
    serializedData: content
  }
}

output workbookId string = workbook.id
