import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

/** A value of AWS's Query protocol: text, a list (`name.member.N`) or a structure (`name.part`). */
export type QueryValue = string | QueryValue[] | { [name: string]: QueryValue }

/** What a group launches: `{ LaunchTemplate }` or `{ MixedInstancesPolicy }`, in the API's words. */
export type Configuration = { [name: string]: QueryValue }

type Instance = { id: string; type: string; template: { [name: string]: QueryValue } }
type Group = {
  name: string
  /** What the group has saved. A refresh replaces it at its end, and a rollback returns to it. */
  saved: Configuration
  desiredCapacity: number
  instances: Instance[]
  suspended: string[]
}
type Refresh = {
  id: string
  group: string
  desired: Configuration
  preferences: { [name: string]: QueryValue }
  status: string
  reason: string
  rollbackReason: string
  percent: number
}

export type AutoScalingServer = Awaited<ReturnType<typeof startAutoScalingServer>>

/**
 * Starts a local Auto Scaling API with the calls of a rollout (AWS Query, 2011-01-01, signed): StartInstanceRefresh,
 * DescribeInstanceRefreshes, DescribeAutoScalingGroups. Other calls are refused.
 *
 * A refresh goes one step further each time it is described by its id: it replaces one instance, and at its end the group
 * saves the desired configuration. With a version in `badVersions` it fails after its first instance. It is rolled back if
 * `AutoRollback` asks for it, to whatever the group has saved: if that is the new version already, so is the result.
 */
export async function startAutoScalingServer() {
  const groups = new Map<string, Group>()
  const refreshes: Refresh[] = []
  /** Versions of launch templates with which instances do not get healthy, and AWS's reason. */
  const badVersions = new Map<string, string>()
  /** All calls, including refused ones. */
  const calls: { action: string; input: { [name: string]: QueryValue } }[] = []
  /** Errors that the next calls of an action get instead of a result: the code and the message. */
  const errors: { action: string; code: string; message: string }[] = []
  let held: { action: string; arrived: () => void; released: Promise<void> } | undefined
  let launched = 0
  let rollbackFails = false

  const server = createServer(async (request, response) => {
    const { Action, Version, ...input } = parseForm(await text(request))
    const action = String(Action)
    calls.push({ action, input })
    if (held?.action === action) {
      const { arrived, released } = held
      held = undefined
      arrived()
      await released
    }
    const signature = /^AWS4-HMAC-SHA256 .*\/us-east-1\/autoscaling\/aws4_request/
    if (Version !== '2011-01-01' || !signature.test(request.headers.authorization ?? '')) {
      return sendError(response, 'InvalidAction', 'The request has another version or signature.')
    }
    const planned = errors.findIndex((error) => error.action === action)
    const [error] = planned < 0 ? [] : errors.splice(planned, 1)
    if (error) return sendError(response, error.code, error.message)
    const result = respond(action, input)
    if (Array.isArray(result)) return sendError(response, String(result[0]), String(result[1]))
    response.writeHead(200, { 'content-type': 'text/xml' })
    response.end(
      `<${action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><${action}Result>${toXml(result)}</${action}Result></${action}Response>`,
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')

  function respond(action: string, input: { [name: string]: QueryValue }) {
    if (action === 'StartInstanceRefresh') return start(input)
    if (action === 'DescribeInstanceRefreshes') return describeRefreshes(input)
    if (action === 'DescribeAutoScalingGroups') return describeGroups(input)
    return ['InvalidAction', `The action ${action} is not valid.`]
  }

  function start(input: { [name: string]: QueryValue }): QueryValue | [string, string] {
    const group = groups.get(String(input['AutoScalingGroupName']))
    const desired = input['DesiredConfiguration']
    const preferences = input['Preferences']
    if (!group) return ['ValidationError', 'AutoScalingGroup name not found']
    if (refreshes.some((refresh) => refresh.group === group.name && !hasEnded(refresh)))
      return [
        'InstanceRefreshInProgress',
        'An Instance Refresh is already in progress and blocks the request',
      ]
    if (!isStructure(desired) || !isStructure(preferences))
      return ['ValidationError', 'The AutoRollback parameter cannot be set to true without a configuration.']
    const id = `refresh-${refreshes.length + 1}`
    refreshes.unshift({
      id,
      group: group.name,
      desired,
      preferences,
      status: 'Pending',
      reason: '',
      rollbackReason: '',
      percent: 0,
    })
    return { InstanceRefreshId: id }
  }

  function describeRefreshes(input: { [name: string]: QueryValue }): QueryValue {
    const ids = input['InstanceRefreshIds']
    const found = refreshes.filter(
      ({ group, id }) => group === input['AutoScalingGroupName'] && (!Array.isArray(ids) || ids.includes(id)),
    )
    if (Array.isArray(ids)) for (const refresh of found) advance(refresh)
    return {
      InstanceRefreshes: found.map(({ id, group, desired, status, reason, rollbackReason, percent }) => ({
        InstanceRefreshId: id,
        AutoScalingGroupName: group,
        DesiredConfiguration: desired,
        Status: status,
        ...(reason && { StatusReason: reason }),
        PercentageComplete: String(percent),
        ...(rollbackReason && {
          RollbackDetails: { RollbackReason: rollbackReason, PercentageCompleteOnRollback: String(percent) },
        }),
      })),
    }
  }

  function describeGroups(input: { [name: string]: QueryValue }): QueryValue {
    const names = input['AutoScalingGroupNames']
    const found = [...groups.values()].filter(({ name }) => Array.isArray(names) && names.includes(name))
    return {
      AutoScalingGroups: found.map(({ name, saved, desiredCapacity, instances, suspended }) => ({
        AutoScalingGroupName: name,
        ...withDefaults(saved),
        MinSize: '0',
        MaxSize: '10',
        DesiredCapacity: String(desiredCapacity),
        Instances: instances.map(({ id, type, template }) => ({
          InstanceId: id,
          InstanceType: type,
          LifecycleState: 'InService',
          HealthStatus: 'Healthy',
          LaunchTemplate: template,
        })),
        SuspendedProcesses: suspended.map((process) => ({ ProcessName: process })),
      })),
    }
  }

  function advance(refresh: Refresh): void {
    const group = groups.get(refresh.group)
    if (!group || hasEnded(refresh)) return
    if (refresh.status === 'Pending') {
      refresh.status = 'InProgress'
      return
    }
    const isRollback = refresh.status === 'RollbackInProgress'
    const configuration = isRollback ? group.saved : refresh.desired
    const outdated = group.instances.findIndex((instance) => !matches(instance, configuration))
    if (outdated < 0) {
      if (!isRollback) group.saved = refresh.desired
      refresh.status = isRollback ? 'RollbackSuccessful' : 'Successful'
      if (isRollback && rollbackFails) refresh.status = 'RollbackFailed'
      return
    }
    group.instances[outdated] = launch(configuration)
    const current = group.instances.filter((instance) => matches(instance, configuration)).length
    refresh.percent = Math.floor((current * 100) / group.instances.length)
    const problem = badVersions.get(String(templateIn(configuration)['Version']))
    if (isRollback || problem === undefined) return
    refresh.percent = 0
    if (refresh.preferences['AutoRollback'] === 'true') {
      refresh.status = 'RollbackInProgress'
      refresh.rollbackReason = problem
    } else {
      refresh.status = 'Failed'
      refresh.reason = problem
    }
  }

  function launch(configuration: Configuration): Instance {
    launched += 1
    const [type = 't4g.small'] = typesIn(configuration)
    return { id: `i-${String(launched).padStart(17, '0')}`, type, template: templateIn(configuration) }
  }

  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    calls,
    refreshes,
    badVersions,
    errors,
    /** Creates a group and launches its instances. */
    addGroup(name: string, saved: Configuration, instances: number): Group {
      const group: Group = { name, saved, desiredCapacity: instances, instances: [], suspended: [] }
      for (let count = 0; count < instances; count++) group.instances.push(launch(saved))
      groups.set(name, group)
      return group
    },
    /** Starts a refresh as somebody else would. */
    startRefresh(group: string, desired: Configuration) {
      start({
        AutoScalingGroupName: group,
        DesiredConfiguration: desired,
        Preferences: { AutoRollback: 'true' },
      })
      const [refresh] = refreshes
      if (!refresh) throw new Error('There is no refresh.')
      return refresh
    },
    failRollbacks(): void {
      rollbackFails = true
    },
    /** The versions that a group's instances run. */
    versions: (group: string) => groups.get(group)?.instances.map(({ template }) => template['Version']),
    /** The inputs of an action's calls. */
    inputsOf: (action: string) => calls.filter((call) => call.action === action).map(({ input }) => input),
    /** Holds the response of the next call of an action. */
    hold(action: string) {
      const arrived = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      held = { action, arrived: arrived.resolve, released: released.promise }
      return { arrived: arrived.promise, release: released.resolve }
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function hasEnded({ status }: Refresh): boolean {
  return ['Successful', 'Failed', 'Cancelled', 'RollbackSuccessful', 'RollbackFailed'].includes(status)
}

function matches({ type, template }: Instance, configuration: Configuration): boolean {
  const wanted = templateIn(configuration)
  const types = typesIn(configuration)
  return (
    template['LaunchTemplateId'] === wanted['LaunchTemplateId'] &&
    template['Version'] === wanted['Version'] &&
    (types.length === 0 || types.includes(type))
  )
}

function templateIn(configuration: Configuration): { [name: string]: QueryValue } {
  const own = configuration['LaunchTemplate']
  if (isStructure(own)) return own
  const template = part(
    part(configuration['MixedInstancesPolicy'], 'LaunchTemplate'),
    'LaunchTemplateSpecification',
  )
  return isStructure(template) ? template : {}
}

function typesIn(configuration: Configuration): string[] {
  const overrides = part(part(configuration['MixedInstancesPolicy'], 'LaunchTemplate'), 'Overrides')
  return Array.isArray(overrides) ? overrides.map((override) => String(part(override, 'InstanceType'))) : []
}

/** AWS adds its defaults to a saved policy. */
function withDefaults(saved: Configuration): Configuration {
  const policy = saved['MixedInstancesPolicy']
  if (!isStructure(policy)) return saved
  const distribution = policy['InstancesDistribution']
  return {
    MixedInstancesPolicy: {
      ...policy,
      InstancesDistribution: {
        ...(isStructure(distribution) && distribution),
        OnDemandAllocationStrategy: 'prioritized',
      },
    },
  }
}

function part(value: QueryValue | undefined, name: string): QueryValue | undefined {
  return isStructure(value) ? value[name] : undefined
}

function isStructure(value: QueryValue | undefined): value is { [name: string]: QueryValue } {
  return typeof value === 'object' && !Array.isArray(value)
}

/** Parses `A.B=1&List.member.1.C=2` into nested values. */
function parseForm(body: string): { [name: string]: QueryValue } {
  const result: { [name: string]: QueryValue } = {}
  for (const [key, value] of new URLSearchParams(body)) {
    const path = key.split('.')
    const last = path.pop() ?? ''
    let inner = result
    for (const name of path) {
      const next = inner[name]
      const structure = isStructure(next) ? next : {}
      inner[name] = structure
      inner = structure
    }
    inner[last] = value
  }
  return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, membersToLists(value)]))
}

function membersToLists(value: QueryValue): QueryValue {
  if (!isStructure(value)) return value
  const members = value['member']
  if (isStructure(members)) {
    const inOrder = Object.entries(members).sort(([one], [other]) => Number(one) - Number(other))
    return inOrder.map(([, member]) => membersToLists(member))
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, membersToLists(inner)]))
}

function toXml(value: QueryValue): string {
  if (Array.isArray(value)) return value.map((member) => `<member>${toXml(member)}</member>`).join('')
  if (!isStructure(value)) return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return Object.entries(value)
    .map(([name, inner]) => `<${name}>${toXml(inner)}</${name}>`)
    .join('')
}

function sendError(response: ServerResponse, code: string, message: string): void {
  response.writeHead(400, { 'content-type': 'text/xml' })
  response.end(
    `<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${toXml(message)}</Message></Error><RequestId>1</RequestId></ErrorResponse>`,
  )
}
