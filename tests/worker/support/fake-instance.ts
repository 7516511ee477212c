import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'

export const group = 'millrace-test-worker'
export const instance = 'i-0123456789abcdef0'
export const hook = 'worker-terminating'

export type FakeInstance = Awaited<ReturnType<typeof startFakeInstance>>

/**
 * Starts local servers for an instance's AWS APIs: instance metadata (IMDSv2), and the calls of the Auto Scaling API (AWS
 * Query, 2011-01-01) for a lifecycle hook and scale-in protection. The group waits for the instance while the metadata's
 * target lifecycle state is `Terminated`, until the action is completed. It accepts scale-in protection only in the state
 * `InService`.
 */
export async function startFakeInstance() {
  const items = new Map([
    ['instance-id', instance],
    ['tags/instance/aws:autoscaling:groupName', group],
    ['autoscaling/target-lifecycle-state', 'InService'],
  ])
  const tokens = new Set<string>()
  /** The path of each metadata request, in order; `token` for token requests. */
  const metadataRequests: string[] = []
  const calls: string[] = []
  const waiting = new Set<() => void>()
  let completed = false
  let isProtected = false
  let responses: 'sent' | 'dropped' | 'delayed' = 'sent'
  let concurrentCalls = 0
  let maxConcurrentCalls = 0

  const metadata = await listen(async (request, response) => {
    const { method, url = '' } = request
    if (url === '/latest/api/token') {
      metadataRequests.push('token')
      const seconds = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds'])
      if (method !== 'PUT' || !(seconds >= 1 && seconds <= 21_600)) return void response.writeHead(400).end()
      const token = randomUUID()
      tokens.add(token)
      return void response.end(token)
    }
    const token = request.headers['x-aws-ec2-metadata-token']
    if (typeof token !== 'string' || !tokens.has(token)) return void response.writeHead(401).end()
    const path = url.replace('/latest/meta-data/', '')
    metadataRequests.push(path)
    const item = items.get(path)
    if (item === undefined) response.writeHead(404).end('<html>404 - Not Found</html>')
    else response.end(item)
  })

  const autoScaling = await listen(async (request, response) => {
    concurrentCalls += 1
    maxConcurrentCalls = Math.max(maxConcurrentCalls, concurrentCalls)
    response.on('close', () => {
      concurrentCalls -= 1
    })
    const form = new URLSearchParams(await text(request))
    const action = form.get('Action') ?? ''
    const respond = (status: number, body: string) => {
      if (responses === 'sent') response.writeHead(status, { 'content-type': 'text/xml' }).end(body)
      if (responses === 'dropped') response.destroy()
    }
    const state = items.get('autoscaling/target-lifecycle-state')
    const hasParameters = (...names: string[]) =>
      form.get('Version') === '2011-01-01' &&
      names.map((name) => form.get(name)).join() === [group, instance, hook].slice(0, names.length).join()
    const validationError = () => {
      if (action !== 'SetInstanceProtection') {
        const isAwaited = state === 'Terminated' && !completed
        if (isAwaited && hasParameters('AutoScalingGroupName', 'InstanceId', 'LifecycleHookName'))
          return undefined
        return `No active Lifecycle Action found with instance ID ${form.get('InstanceId')}`
      }
      if (!hasParameters('AutoScalingGroupName', 'InstanceIds.member.1'))
        return 'No such instance in the group'
      if (state === 'InService') return undefined
      return `The instance ${instance} is not in InService or EnteringStandby or Standby.`
    }
    const argument = form.get('LifecycleActionResult') ?? form.get('ProtectedFromScaleIn')
    calls.push(argument === null ? action : `${action} ${argument}`)
    const message = validationError()
    if (message !== undefined) {
      respond(
        400,
        `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>${message}</Message></Error></ErrorResponse>`,
      )
    } else {
      completed ||= action === 'CompleteLifecycleAction'
      if (action === 'SetInstanceProtection') isProtected = argument === 'true'
      respond(
        200,
        `<${action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><${action}Result/></${action}Response>`,
      )
    }
    for (const check of waiting) check()
  })

  return {
    items,
    metadataRequests,
    /** The calls of the Auto Scaling API, including failed ones. */
    calls,
    metadataEndpoint: metadata.endpoint,
    autoScalingEndpoint: autoScaling.endpoint,
    environment: {
      TERMINATION_HOOK: hook,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.endpoint,
      AWS_ENDPOINT_URL_AUTO_SCALING: autoScaling.endpoint,
    },
    isCompleted: () => completed,
    /** Whether scale-in protection is on. */
    isProtected: () => isProtected,
    /** Sets whether responses of the Auto Scaling API are sent. The calls take effect in any case. */
    setResponses(next: typeof responses): void {
      responses = next
    },
    /** The highest number of concurrent calls. */
    maxConcurrentCalls: () => maxConcurrentCalls,
    /** Invalidates all tokens. */
    expireTokens: () => tokens.clear(),
    async untilCalls(count: number): Promise<void> {
      while (calls.length < count) {
        await new Promise<void>((resolve) => {
          const check = () => {
            waiting.delete(check)
            resolve()
          }
          waiting.add(check)
        })
      }
    },
    close(): void {
      metadata.close()
      autoScaling.close()
    },
  }
}

async function listen(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
