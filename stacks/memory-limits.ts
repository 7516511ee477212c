import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { Place } from './place.ts'

const MiB = 1024 ** 2
/** What the kernel, systemd, Docker and the SSM agent need, in MiB, and as a share of larger instances. */
const systemMiB = 256
const systemShare = 0.1
/** Shares of the container's memory. sharp's memory is outside of the heap, and a worker uses most of its own for it. */
const heapShare = { api: 1 / 2, worker: 1 / 4 } satisfies Record<Tier, number>
const bufferShare = 1 / 8
/** The API refuses requests above this, before the kernel would kill it. */
const rssShare = 5 / 6
/** An open event stream takes some 0.1 MiB, so all of them take a tenth. */
const streamsPerMiB = 1

/** Returns the memory of the smallest of these instance types, in MiB, as EC2 describes them. */
export function smallestMemoryMiB(place: Place, instanceTypes: readonly string[]): $util.Output<number> {
  const sizes = instanceTypes.map(
    (instanceType) => aws.ec2.getInstanceTypeOutput({ instanceType }, place.options).memorySize,
  )
  return $util.all(sizes).apply((all) => Math.min(...all))
}

/**
 * Returns the limits of a service by the memory of its instance. A setting in `environment` replaces each variable.
 *
 * @param memoryMiB of the instance
 * @returns the container's limit, and the service's variables (.env.example)
 */
export function memoryLimits(
  tier: Tier,
  memoryMiB: number,
): { containerMiB: number; environment: Record<string, string> } {
  const containerMiB = memoryMiB - Math.ceil(Math.max(systemMiB, memoryMiB * systemShare))
  const share = (part: number) => Math.floor(containerMiB * part)
  return {
    containerMiB,
    environment: {
      NODE_OPTIONS: `--max-old-space-size=${share(heapShare[tier])}`,
      MAX_BUFFERED_BYTES: String(share(bufferShare) * MiB),
      ...(tier === 'api' && {
        MAX_RSS_BYTES: String(share(rssShare) * MiB),
        MAX_EVENT_STREAMS: String(containerMiB * streamsPerMiB),
      }),
    },
  }
}
