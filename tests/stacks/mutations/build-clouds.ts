// Builds clouds of a copy of the tree, as often as its parent asks. Loading Pulumi takes longer than building a cloud, so
// one process builds the clouds of many mutations.
import { writeFileSync } from 'node:fs'
import type { Cloud } from '../../support/mock-cloud.ts'
import { buildCloud, bundleConfig } from '../../support/mock-cloud.ts'
import { type CloudName, cloudOptions } from '../cloud-options.ts'

/** What the parent asks for: clouds, and the file that gets them as JSON. */
export type BuildRequest = { clouds: CloudName[]; file: string }
/** The response. `error` is the configuration's own. */
export type BuildResponse = { error?: string }

// A configuration that throws leaves rejected promises behind, which no one can await.
process.on('unhandledRejection', () => {})
process.on('message', async ({ clouds, file }: BuildRequest) => {
  const response: BuildResponse = {}
  try {
    await bundleConfig()
    const built: Partial<Record<CloudName, Cloud>> = {}
    for (const name of clouds) built[name] = await buildCloud(cloudOptions[name])
    writeFileSync(file, JSON.stringify(built))
  } catch (error) {
    response.error = String(error)
  }
  process.send?.(response)
})
