import type { InstanceMetadata } from './instance-metadata.ts'

/**
 * Reads the instance's id and the name of its Auto Scaling group, which the Auto Scaling API requires.
 *
 * @throws Error if instance metadata has no group name
 */
export async function readGroupMembership(metadata: InstanceMetadata) {
  const [group, instance] = await Promise.all([
    metadata.read('tags/instance/aws:autoscaling:groupName'),
    metadata.read('instance-id'),
  ])
  if (group === undefined || instance === undefined) {
    throw new Error(
      'Instance metadata has no Auto Scaling group: the instance is in none, or tags in metadata are not enabled.',
    )
  }
  return { group, instance }
}
