import { largeBodies } from './large-bodies.ts'
import type { LoadBalancer } from './load-balancer.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/**
 * AWS's rule groups, and the rules in them that only count: those that inspect bodies; the one that requires a
 * User-Agent, which scripts may not send; and the one that limits queries to 2 KiB, because a file's metadata may be as
 * long (`POST /upload?metadata=…`).
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
 * Creates the WAF in front of the load balancer. It blocks known attacks, addresses of bad reputation, and too many
 * requests of one address.
 *
 * AWS's rules about bodies, and about bodies larger than the 8 KiB that WAF reads, only label a request. A rule of ours
 * blocks labelled requests, except on paths with large bodies: a photo may contain bytes that look like an attack, and a
 * source URL of an import matches the rule against remote file inclusion.
 */
export function createWebFirewall(options: {
  place: Place
  loadBalancer: LoadBalancer
  settings: Settings['firewall']
  logGroup: aws.cloudwatch.LogGroup
}) {
  const { place, loadBalancer, settings, logGroup } = options
  const { id, name } = place
  const visibility = (rule: string) => ({
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
      visibilityConfig: visibility('requests-of-one-address'),
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
      visibilityConfig: visibility(group.name),
    })),
    {
      name: 'suspicious-bodies',
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
      visibilityConfig: visibility('bodies'),
    },
  ]
  const firewall = new aws.wafv2.WebAcl(
    id('Firewall'),
    {
      scope: 'REGIONAL',
      defaultAction: { allow: {} },
      rules,
      visibilityConfig: visibility('firewall'),
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
      // They hold credentials.
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
