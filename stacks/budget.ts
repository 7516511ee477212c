import type { Place } from './place.ts'

/**
 * Creates the budget, which notifies the topic when the stage has cost 80 % of its limit, and when AWS forecasts more
 * than 100 %. It counts by the tag `Stage`, which must be activated once in an account as a cost allocation tag
 * (docs/deploy.md).
 */
export function createBudget(options: { place: Place; topic: aws.sns.Topic; limitUsd: number }) {
  const { place, topic, limitUsd } = options
  const notify = (type: 'ACTUAL' | 'FORECASTED', percent: number) => ({
    notificationType: type,
    comparisonOperator: 'GREATER_THAN',
    threshold: percent,
    thresholdType: 'PERCENTAGE',
    subscriberSnsTopicArns: [topic.arn],
  })
  return new aws.budgets.Budget(
    place.id('Budget'),
    {
      name: place.name('monthly'),
      budgetType: 'COST',
      timeUnit: 'MONTHLY',
      limitAmount: String(limitUsd),
      limitUnit: 'USD',
      costFilters: [{ name: 'TagKeyValue', values: [`user:Stage$${place.stage}`] }],
      notifications: [notify('ACTUAL', 80), notify('FORECASTED', 100)],
    },
    place.options,
  )
}
