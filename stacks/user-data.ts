import { readFileSync } from 'node:fs'
import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'

/** Relative to the project's root, the working directory of SST. Its bundle has no folder of its own. */
const templateFile = 'stacks/user-data.sh'
/** EC2's limit on user data, in bytes before base64. */
const limitBytes = 16_384
/** Comments, which need space: all but the first line, which names the shell, and the one that the settings replace. */
const commentLines = /^ *#(?!!| @settings).*\n/gm

export type UserData = {
  tier: Tier
  /** `host/repository@sha256:…` in ECR. */
  image: string
  /** The environment variables of the service that are no secrets. The script adds region, instance and stage. */
  environment: Readonly<Record<string, string>>
  /** The port of the service's `/health`: its PORT, or for workers its HEALTH_PORT. */
  port: number
  /** The name of an existing log group. */
  logGroup: string
  /** The name of the group's lifecycle hook for `autoscaling:EC2_INSTANCE_LAUNCHING`. */
  launchHook: string
  /** How long the container may take to stop, in seconds. */
  stopSeconds: number
  /** The container's memory limit, in MiB. */
  memoryMiB: number
}

/**
 * Renders the script that an instance of a tier runs at its first boot: `user-data.sh` with these settings. A launch
 * template needs it in base64.
 *
 * The script requires: IMDSv2 with instance tags in the metadata; a tag `Stage` on the instance; Amazon Linux 2023 with
 * access to its repositories; secrets as parameters `/millrace/{stage}/{tier}/{VARIABLE}` in SSM; and a role that may
 * read and decrypt those, pull the image, write to the log group and complete the lifecycle action; a worker's role may also
 * set the health of the instance.
 *
 * @throws Error if an environment variable has several lines, or if the script is larger than EC2 allows
 */
export function renderUserData(settings: UserData): string {
  const lines = Object.entries(settings.environment).map(([name, value]) => `${name}=${value}`)
  for (const line of lines)
    if (/[\r\n]/.test(line)) {
      throw new Error(`The environment variable ${line.split('=')[0]} has several lines; allowed: one.`)
    }
  const variables = {
    tier: settings.tier,
    image: settings.image,
    environment: lines.join('\n'),
    port: settings.port,
    log_group: settings.logGroup,
    launch_hook: settings.launchHook,
    stop_seconds: settings.stopSeconds,
    memory_mib: settings.memoryMiB,
  }
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${quote(String(value))}`)
  const template = readFileSync(templateFile, 'utf8').replaceAll(commentLines, '')
  const script = template.replace('# @settings', () => assignments.join('\n'))
  const bytes = Buffer.byteLength(script)
  if (bytes > limitBytes) throw new Error(`User data has ${bytes} bytes; allowed: ${limitBytes}.`)
  return script
}

/** Quotes a text as one word of a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
