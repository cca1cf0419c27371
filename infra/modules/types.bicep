metadata description = 'Types that modules share.'

@export()
@description('Tags of every resource.')
type Tags = {
  @description('Name to value.')
  *: string
}

@export()
@description('A managed identity.')
type Identity = {
  @description('Resource id.')
  id: string
  @description('Name, which is also its role in the database.')
  name: string
  @description('Client id: what a program asks for a token with.')
  clientId: string
  @description('Object id: what roles are assigned to.')
  principalId: string
}

@export()
@description('Who deploys: a person, or the service principal of a pipeline.')
type Deployer = {
  @description('Object id; empty: nobody.')
  id: string
  @description('As Entra ID calls it.')
  type: 'User' | 'ServicePrincipal'
}

@export()
@description('Limits of alerts; docs/monitoring.md explains each.')
type Limits = {
  @description('Jobs that failed for one reason within 15 minutes.')
  failedJobs: int?
  @description('Percentage of failed jobs within 30 minutes.')
  failedPercent: int?
  @description('Minutes of 10 in which a dependency was not called.')
  breakerOpenMinutes: int?
  @description('USD an hour for the image model.')
  spendUsdPerHour: int?
  @description('Age of the oldest open job.')
  queueAgeMinutes: int?
  @description('Errors of the function app of one kind within 15 minutes.')
  hostErrors: int?
  @description('Errors of the GPU service of one kind within 15 minutes.')
  gpuErrors: int?
}
