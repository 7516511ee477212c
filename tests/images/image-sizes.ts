import { type BuiltService, builtServices } from './compose-project.ts'
import { docker } from './container-engine.ts'

const MB = 1e6

/**
 * What an image may add to its base at most, in bytes on disk. A new instance pulls its image before it can take work, so each
 * 100 MB lengthen a scale-out by some seconds; and 20 images of each tier are kept for rollbacks. The numbers are the sizes of
 * November 2026, rounded up by about a quarter: whoever exceeds them looks whether the addition is needed by the running
 * service.
 */
export const addedSizeLimits: Record<BuiltService, number> = {
  'stateless-app': 95 * MB,
  worker: 110 * MB,
  'local-cloud': 75 * MB,
}

/** Returns the size of an image and what its layers above the base have, in bytes. */
export async function readImageSize(image: string) {
  const size = Number(await docker(['image', 'inspect', '--format', '{{.Size}}', image]))
  const history = await docker([
    'history',
    '--human=false',
    '--no-trunc',
    '--format',
    '{{.Size}} {{.CreatedBy}}',
    image,
  ])
  // The newest layer comes first. The first one of `FROM $NODE AS runtime` copies jemalloc.
  const layers = history.split('\n')
  const own = layers.slice(0, layers.findLastIndex((layer) => layer.includes('libjemalloc')) + 1)
  if (own.length === 0) throw new Error(`${image} has no layer with jemalloc.`)
  return { size, added: own.reduce((sum, layer) => sum + Number.parseInt(layer, 10), 0) }
}

/** Returns a line on each image. */
export async function describeSizes(imageOf: (service: BuiltService) => string): Promise<string[]> {
  const inMB = (bytes: number) => `${(bytes / MB).toFixed(0)} MB`
  const lines = builtServices.map(async (service) => {
    const { size, added } = await readImageSize(imageOf(service))
    return `${service}: ${inMB(size)}, ${inMB(added)} above its base (at most ${inMB(addedSizeLimits[service])})`
  })
  return Promise.all(lines)
}
