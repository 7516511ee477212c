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
 * the Auto Scaling API (AWS Query, 2011-01-01) what a lifecycle hook needs. The group waits for the instance while
 * the metadata's target lifecycle state is `Terminated`, until the action is completed.
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
    const form = new URLSearchParams(await text(request))
    const action = form.get('Action') ?? ''
    const answer = (status: number, body: string) =>
      response.writeHead(status, { 'content-type': 'text/xml' }).end(body)
    const names = ['AutoScalingGroupName', 'InstanceId', 'LifecycleHookName'].map((name) => form.get(name))
    const waits = items.get('autoscaling/target-lifecycle-state') === 'Terminated' && !completed
    const known = names.join() === [group, instance, hook].join()
    calls.push(
      action === 'CompleteLifecycleAction' ? `${action} ${form.get('LifecycleActionResult')}` : action,
    )
    if (!waits || !known || form.get('Version') !== '2011-01-01') {
      const message = `No active Lifecycle Action found with instance ID ${form.get('InstanceId')}`
      answer(
        400,
        `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>${message}</Message></Error></ErrorResponse>`,
      )
    } else {
      completed ||= action === 'CompleteLifecycleAction'
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
