import {
  type IAMClient,
  ListRolesCommand,
  type Role,
  SimulatePrincipalPolicyCommand,
} from '@aws-sdk/client-iam'
import { type Check, error, type Finding, ok } from './finding.ts'
import { objectNeeds } from './permission-checks.ts'

const bucketActions = [
  's3:ListBucket',
  's3:ListBucketVersions',
  's3:ListBucketMultipartUploads',
  's3:GetBucketVersioning',
]
const queueActions = {
  api: ['sqs:GetQueueAttributes'],
  worker: [
    'sqs:ReceiveMessage',
    'sqs:DeleteMessage',
    'sqs:ChangeMessageVisibility',
    'sqs:GetQueueAttributes',
  ],
}

/**
 * The checks of a stage's roles. Nobody but an instance can use them, so IAM simulates each action that a process needs.
 *
 * @param deps.queueArn of the queue of events
 */
export function roleChecks(deps: {
  iam: IAMClient
  stage: string
  region: string
  bucket: string
  queueArn: () => Promise<string>
}): Check[] {
  const { iam, stage, region, bucket, queueArn } = deps
  return (['api', 'worker'] as const).map(
    (tier): Check => ({
      name: `${tier}-permissions`,
      async run(abortSignal) {
        const role = await findRole(iam, stage, `Instances of the ${tier} tier in ${region}`, abortSignal)
        if (!role) return [error(`The stage has no role for the ${tier} tier.`, 'Deploy the stage again.')]
        const bucketArn = `arn:aws:s3:::${bucket}`
        const needs = [
          { resource: bucketArn, actions: bucketActions },
          { resource: await queueArn(), actions: queueActions[tier] },
          ...objectNeeds[tier].map(({ prefix, actions }) => ({
            resource: `${bucketArn}/${prefix}doctor`,
            actions: actions.map((action) => `s3:${action}`),
          })),
        ]
        const findings: Finding[] = []
        for (const { resource, actions } of needs) {
          const command = new SimulatePrincipalPolicyCommand({
            PolicySourceArn: role.Arn,
            ActionNames: actions,
            ResourceArns: [resource],
          })
          const { EvaluationResults = [] } = await iam.send(command, { abortSignal })
          for (const { EvalActionName, EvalDecision } of EvaluationResults) {
            if (EvalDecision === 'allowed') continue
            findings.push(
              error(
                `The role of the ${tier} tier lacks ${EvalActionName} on ${resource}.`,
                'Deploy the stage again.',
              ),
            )
          }
        }
        return findings.length > 0
          ? findings
          : [ok(`The role of the ${tier} tier has all permissions that it needs.`)]
      },
    }),
  )
}

/** Finds a role by the start of its name and by its description, which stacks/roles.ts sets. */
async function findRole(iam: IAMClient, stage: string, description: string, abortSignal: AbortSignal) {
  const isOurs = (role: Role) =>
    role.RoleName?.startsWith(`millrace-${stage}-`) && role.Description === description
  let Marker: string | undefined
  do {
    const page = await iam.send(new ListRolesCommand({ Marker }), { abortSignal })
    const found = page.Roles?.find(isOurs)
    if (found) return found
    Marker = page.IsTruncated ? page.Marker : undefined
  } while (Marker)
  return undefined
}
