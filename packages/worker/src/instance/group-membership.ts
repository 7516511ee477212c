import type { InstanceMetadata } from './instance-metadata.ts'

/**
 * Which instance of which Auto Scaling group this is: what the group's API wants to be told.
 *
 * @throws Error where metadata does not say
 */
export async function readGroupMembership(metadata: InstanceMetadata) {
  const [group, instance] = await Promise.all([
    metadata.read('tags/instance/aws:autoscaling:groupName'),
    metadata.read('instance-id'),
  ])
  if (group === undefined || instance === undefined) {
    throw new Error('Instance metadata names no Auto Scaling group: there is none, or tags are not readable.')
  }
  return { group, instance }
}
