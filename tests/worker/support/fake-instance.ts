import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'

export const group = 'millrace-test-worker'
export const instance = 'i-0123456789abcdef0'
export const hook = 'worker-terminating'

export type FakeInstance = Awaited<ReturnType<typeof startFakeInstance>>

/**
 * What EC2 and Auto Scaling are to a program on an instance, at the protocol: instance metadata by IMDSv2, and of
 * the Auto Scaling API (AWS Query, 2011-01-01) what a lifecycle hook and scale-in protection need. The group waits for
 * the instance while the metadata's target lifecycle state is `Terminated`, until the action is completed; it protects
 * the instance in no other state than `InService`.
 */
export async function startFakeInstance() {
  const items = new Map([
    ['instance-id', instance],
    ['tags/instance/aws:autoscaling:groupName', group],
    ['autoscaling/target-lifecycle-state', 'InService'],
  ])
  const tokens = new Set<string>()
  /** Every question's path, in order; `token` where a token was asked for. */
  const questions: string[] = []
  const calls: string[] = []
  const waiting = new Set<() => void>()
  let completed = false
  let isProtected = false
  let fate: 'given' | 'lost' | 'held' = 'given'
  let underWay = 0
  let mostUnderWay = 0

  const metadata = await listen(async (request, response) => {
    const { method, url = '' } = request
    if (url === '/latest/api/token') {
      questions.push('token')
      const seconds = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds'])
      if (method !== 'PUT' || !(seconds >= 1 && seconds <= 21_600)) return void response.writeHead(400).end()
      const token = randomUUID()
      tokens.add(token)
      return void response.end(token)
    }
    const token = request.headers['x-aws-ec2-metadata-token']
    if (typeof token !== 'string' || !tokens.has(token)) return void response.writeHead(401).end()
    const path = url.replace('/latest/meta-data/', '')
    questions.push(path)
    const item = items.get(path)
    if (item === undefined) response.writeHead(404).end('<html>404 - Not Found</html>')
    else response.end(item)
  })

  const autoScaling = await listen(async (request, response) => {
    underWay += 1
    mostUnderWay = Math.max(mostUnderWay, underWay)
    response.on('close', () => {
      underWay -= 1
    })
    const form = new URLSearchParams(await text(request))
    const action = form.get('Action') ?? ''
    const answer = (status: number, body: string) => {
      if (fate === 'given') response.writeHead(status, { 'content-type': 'text/xml' }).end(body)
      if (fate === 'lost') response.destroy()
    }
    const state = items.get('autoscaling/target-lifecycle-state')
    const isKnown = (...names: string[]) =>
      form.get('Version') === '2011-01-01' &&
      names.map((name) => form.get(name)).join() === [group, instance, hook].slice(0, names.length).join()
    const refusal = () => {
      if (action !== 'SetInstanceProtection') {
        const isAwaited = state === 'Terminated' && !completed
        if (isAwaited && isKnown('AutoScalingGroupName', 'InstanceId', 'LifecycleHookName')) return undefined
        return `No active Lifecycle Action found with instance ID ${form.get('InstanceId')}`
      }
      if (!isKnown('AutoScalingGroupName', 'InstanceIds.member.1')) return 'No such instance in the group'
      if (state === 'InService') return undefined
      return `The instance ${instance} is not in InService or EnteringStandby or Standby.`
    }
    const told = form.get('LifecycleActionResult') ?? form.get('ProtectedFromScaleIn')
    calls.push(told === null ? action : `${action} ${told}`)
    const message = refusal()
    if (message !== undefined) {
      answer(
        400,
        `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>${message}</Message></Error></ErrorResponse>`,
      )
    } else {
      completed ||= action === 'CompleteLifecycleAction'
      if (action === 'SetInstanceProtection') isProtected = told === 'true'
      answer(
        200,
        `<${action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><${action}Result/></${action}Response>`,
      )
    }
    for (const look of waiting) look()
  })

  return {
    items,
    questions,
    /** The calls of the Auto Scaling API, also those that failed. */
    calls,
    metadataEndpoint: metadata.endpoint,
    autoScalingEndpoint: autoScaling.endpoint,
    environment: {
      TERMINATION_HOOK: hook,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.endpoint,
      AWS_ENDPOINT_URL_AUTO_SCALING: autoScaling.endpoint,
    },
    isCompleted: () => completed,
    /** From scale-in. */
    isProtected: () => isProtected,
    /** What becomes of the answers to calls from now on. The calls themselves do what they should. */
    setAnswers(next: typeof fate): void {
      fate = next
    },
    /** How many calls there have been at a time, at most. */
    mostUnderWay: () => mostUnderWay,
    /** All tokens run out. */
    expireTokens: () => tokens.clear(),
    async untilCalls(count: number): Promise<void> {
      while (calls.length < count) {
        await new Promise<void>((resolve) => {
          const look = () => {
            waiting.delete(look)
            resolve()
          }
          waiting.add(look)
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
