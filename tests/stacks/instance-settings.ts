// What an instance gets: its boot script, its environment and its secrets.
import type { Cloud } from '../support/mock-cloud.ts'
import { ofType, one, userDataOf } from './find.ts'

/** Returns the boot script of a launch template. */
export function scriptOf(cloud: Cloud, template: string): string {
  return userDataOf(one(cloud, 'aws:ec2/launchTemplate:LaunchTemplate', template))
}

/** Returns the environment variables of a template's user data. */
export function environmentOf(cloud: Cloud, template: string): Record<string, string> {
  const [, lines = ''] = /^environment='([^']*)'$/m.exec(scriptOf(cloud, template)) ?? []
  return Object.fromEntries(
    lines.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** Returns the parameters that an instance of the home region reads from SSM. */
export function secretsOf(cloud: Cloud, tier: string): Record<string, string> {
  const parameters = ofType(cloud, 'aws:ssm/parameter:Parameter').filter(
    ({ name }) => !name.endsWith('EuWest1'),
  )
  return Object.fromEntries(
    parameters
      .filter(({ inputs }) => String(inputs['name']).startsWith(`/millrace/${cloud.stage}/${tier}/`))
      .map(({ inputs }) => [String(inputs['name']).split('/').at(-1) ?? '', String(inputs['value'])]),
  )
}
