metadata description = 'Mails before the month gets dear: at 80 % and 100 % of what was spent, and at 110 % of the forecast.'

param amount int
param start string
param email string

var recipients = empty(email) ? [] : split(email, ',')

resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: 'monthly'
  properties: {
    category: 'Cost'
    timeGrain: 'Monthly'
    amount: amount
    timePeriod: {
      startDate: start
    }
    notifications: {
      spent80: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: recipients
        contactRoles: [
          'Owner'
        ]
      }
      spent100: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Actual'
        contactEmails: recipients
        contactRoles: [
          'Owner'
        ]
      }
      forecast110: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 110
        thresholdType: 'Forecasted'
        contactEmails: recipients
        contactRoles: [
          'Owner'
        ]
      }
    }
  }
}
