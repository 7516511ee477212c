import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { docker, readLogLines } from './container-engine.ts'

/** The services that are built of this repository. */
export const builtServices = ['stateless-app', 'worker', 'local-cloud'] as const
export type BuiltService = (typeof builtServices)[number]

/** Its containers, images and volumes are removed before and after a run. */
const projectName = 'millrace-images'
const overrides = 'compose.images.yaml'

export type ComposeProject = ReturnType<typeof openComposeProject>

/**
 * Writes what differs from compose.yaml in a run: ports that are free here, and images that can be had here.
 *
 * @param options.apiPort the API's port on this machine's loopback
 * @param options.s3Port the same of the local S3
 * @param options.nodeImage replaces the base image of Node; undefined: the Dockerfile's
 * @param options.redisImage replaces Redis' image; undefined: that of compose.yaml
 */
export async function writeOverrides(
  directory: string,
  options: {
    apiPort: number
    s3Port: number
    nodeImage: string | undefined
    redisImage: string | undefined
  },
): Promise<void> {
  const { apiPort, s3Port, nodeImage, redisImage } = options
  const build = nodeImage ? [`    build: { args: { NODE: "${nodeImage}" } }`] : []
  const lines = [
    'services:',
    '  stateless-app:',
    ...build,
    `    ports: !override ["127.0.0.1:${apiPort}:3000"]`,
    '    environment:',
    `      PUBLIC_ORIGIN: http://127.0.0.1:${apiPort}`,
    `      S3_PUBLIC_ENDPOINT: http://127.0.0.1:${s3Port}`,
    ...(nodeImage ? ['  worker:', ...build] : []),
    '  local-cloud:',
    ...build,
    `    ports: !override ["127.0.0.1:${s3Port}:9000"]`,
    '  redis-session-store:',
    ...(redisImage ? [`    image: "${redisImage}"`] : []),
    '    ports: !reset []',
  ]
  await writeFile(join(directory, overrides), `${lines.join('\n')}\n`)
}

/** Opens the Compose project of a directory that has a compose.yaml and the overrides of a run. */
export function openComposeProject(directory: string) {
  const files = [join(directory, 'compose.yaml'), join(directory, overrides)]
  const parameters = ['compose', '--project-name', projectName, ...files.flatMap((file) => ['--file', file])]
  const compose = (...more: string[]) => docker([...parameters, ...more])
  const container = (service: string) => compose('ps', '--all', '--quiet', service)

  return {
    /** Builds the images. The builder's progress goes to this terminal. */
    async build(): Promise<void> {
      const builder = spawn('docker', [...parameters, 'build', ...builtServices], { stdio: 'inherit' })
      const [code]: unknown[] = await once(builder, 'exit')
      if (code !== 0) throw new Error(`The images were not built: exit code ${code}.`)
    },
    /** Starts services and those that they depend on, and waits until all of them are healthy. */
    up: (...services: string[]) => compose('up', '--detach', '--wait', ...services),
    config: (...profiles: string[]) =>
      compose(...profiles.flatMap((profile) => ['--profile', profile]), 'config', '--quiet'),
    image: (service: BuiltService) => `${projectName}-${service}`,
    /** Returns the id of a service's only container. */
    container,
    /** Returns the last lines of all services. */
    lastLogs: () => compose('logs', '--no-color', '--tail', '50'),
    logLines: async (service: string) => readLogLines(await container(service)),
    /** Runs a program in a service's container, and returns what it printed. */
    exec: (service: string, ...command: string[]) => compose('exec', '--no-TTY', service, ...command),
    /** Removes containers, networks, volumes and built images. The builder keeps its cache. */
    remove: () => compose('down', '--volumes', '--remove-orphans', '--rmi', 'local', '--timeout', '30'),
  }
}
