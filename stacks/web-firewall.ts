import { largeBodies } from './large-bodies.ts'
import type { LoadBalancer } from './load-balancer.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/**
 * AWS's rule groups, with the rules of theirs that don't refuse by themselves: those that look into bodies, the one
 * that wants every client to name itself, which scripts need not, and the one against queries of more than 2 KiB: the
 * metadata of a file may be as long (`POST /upload?metadata=…`).
 */
const managedGroups = [
  {
    name: 'AWSManagedRulesCommonRuleSet',
    label: 'awswaf:managed:aws:core-rule-set',
    bodyRules: ['SizeRestrictions', 'EC2MetaDataSSRF', 'GenericLFI', 'GenericRFI', 'CrossSiteScripting'],
    counted: ['NoUserAgent_HEADER', 'SizeRestrictions_QUERYSTRING'],
  },
  {
    name: 'AWSManagedRulesKnownBadInputsRuleSet',
    label: 'awswaf:managed:aws:known-bad-inputs',
    bodyRules: ['JavaDeserializationRCE', 'Log4JRCE'],
    counted: [],
  },
  { name: 'AWSManagedRulesAmazonIpReputationList', label: '', bodyRules: [], counted: [] },
]

/**
 * WAF in front of the load balancer: known attacks, known bad addresses, and too many requests of one address.
 *
 * What AWS's rules find in a body, and bodies larger than the 8 KiB that WAF reads, only leave a label; a rule of ours
 * refuses what has such a label, except where large bodies are meant to be: a photo may well contain what looks like an
 * attack, and a URL to import from is what the rule against remote file inclusion looks for.
 */
export function createWebFirewall(options: {
  place: Place
  loadBalancer: LoadBalancer
  settings: Settings['firewall']
  logGroup: aws.cloudwatch.LogGroup
}) {
  const { place, loadBalancer, settings, logGroup } = options
  const { id, name } = place
  const seen = (rule: string) => ({
    cloudwatchMetricsEnabled: true,
    sampledRequestsEnabled: true,
    metricName: name(rule),
  })
  const rules: aws.types.input.wafv2.WebAclRule[] = [
    {
      name: 'requests-of-one-address',
      priority: 0,
      action: { block: {} },
      statement: {
        rateBasedStatement: {
          aggregateKeyType: 'IP',
          limit: settings.requestsPerAddress,
          evaluationWindowSec: 300,
        },
      },
      visibilityConfig: seen('requests-of-one-address'),
    },
    ...managedGroups.map((group, index) => ({
      name: group.name,
      priority: index + 1,
      overrideAction: { none: {} },
      statement: {
        managedRuleGroupStatement: {
          vendorName: 'AWS',
          name: group.name,
          ruleActionOverrides: [...group.bodyRules.map((rule) => `${rule}_BODY`), ...group.counted].map(
            (rule) => ({ name: rule, actionToUse: { count: {} } }),
          ),
        },
      },
      visibilityConfig: seen(group.name),
    })),
    {
      name: 'bodies-where-none-is-meant-to-be',
      priority: managedGroups.length + 1,
      action: { block: {} },
      statement: {
        andStatement: {
          statements: [
            {
              orStatement: {
                statements: managedGroups.flatMap(({ label, bodyRules }) =>
                  bodyRules.map((rule) => ({
                    labelMatchStatement: { scope: 'LABEL', key: `${label}:${rule}_Body` },
                  })),
                ),
              },
            },
            {
              notStatement: {
                statements: [
                  {
                    regexMatchStatement: {
                      regexString: largeBodies,
                      fieldToMatch: { uriPath: {} },
                      textTransformations: [{ priority: 0, type: 'NONE' }],
                    },
                  },
                ],
              },
            },
          ],
        },
      },
      visibilityConfig: seen('bodies'),
    },
  ]
  const firewall = new aws.wafv2.WebAcl(
    id('Firewall'),
    {
      scope: 'REGIONAL',
      defaultAction: { allow: {} },
      rules,
      visibilityConfig: seen('firewall'),
    },
    place.options,
  )
  new aws.wafv2.WebAclAssociation(
    id('FirewallOfLoadBalancer'),
    { resourceArn: loadBalancer.loadBalancer.arn, webAclArn: firewall.arn },
    place.options,
  )
  new aws.wafv2.WebAclLoggingConfiguration(
    id('FirewallLogging'),
    {
      resourceArn: firewall.arn,
      logDestinationConfigs: [logGroup.arn],
      // Who may ask is nobody else's business.
      redactedFields: ['authorization', 'cookie'].map((header) => ({ singleHeader: { name: header } })),
      loggingFilter: {
        defaultBehavior: 'DROP',
        filters: [
          {
            behavior: 'KEEP',
            requirement: 'MEETS_ANY',
            conditions: ['BLOCK', 'COUNT'].map((action) => ({ actionCondition: { action } })),
          },
        ],
      },
    },
    place.options,
  )
  return firewall
}
