import { readFileSync } from 'node:fs'
import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'

/** From the project's root, where SST runs its configuration: as a bundle, which knows no folder of its own. */
const templateFile = 'stacks/user-data.sh'
/** EC2 takes no more, counted before base64. */
const limitBytes = 16_384

export type UserData = {
  tier: Tier
  /** `host/repository@sha256:…` in ECR. */
  image: string
  /** What the service reads from its environment and everybody may know. Region, instance and stage are added. */
  environment: Readonly<Record<string, string>>
  /** Where the service answers `/health`; its PORT, or for workers its HEALTH_PORT. */
  port: number
  /** The name of a log group that exists. */
  logGroup: string
  /** The name of the group's lifecycle hook for `autoscaling:EC2_INSTANCE_LAUNCHING`. */
  launchHook: string
  /** How long the service may take to stop, in seconds. */
  stopSeconds: number
}

/**
 * The script that an instance of a tier runs at its first boot: `user-data.sh` with these settings. A launch
 * template wants it in base64.
 *
 * What else it counts on: IMDSv2 with instance tags in the metadata; a tag `Stage` on the instance; Amazon Linux
 * 2023 with its repositories in reach; secrets as parameters `/millrace/{stage}/{tier}/{VARIABLE}` in SSM; and a role
 * that may read and decrypt those, pull the image, write to the log group and complete the lifecycle action.
 *
 * @throws Error when a setting cannot be one line, or the script is larger than EC2 takes
 */
export function renderUserData(settings: UserData): string {
  const lines = Object.entries(settings.environment).map(([name, value]) => `${name}=${value}`)
  for (const line of lines) if (/[\r\n]/.test(line)) throw new Error(`Not one line: ${line.split('=')[0]}`)
  const variables = {
    tier: settings.tier,
    image: settings.image,
    environment: lines.join('\n'),
    port: settings.port,
    log_group: settings.logGroup,
    launch_hook: settings.launchHook,
    stop_seconds: settings.stopSeconds,
  }
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${quote(String(value))}`)
  const template = readFileSync(templateFile, 'utf8')
  const script = template.replace('# @settings', () => assignments.join('\n'))
  const bytes = Buffer.byteLength(script)
  if (bytes > limitBytes) throw new Error(`User data takes ${bytes} bytes; EC2 takes ${limitBytes} at most.`)
  return script
}

/** One word for a shell, whatever it holds. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
