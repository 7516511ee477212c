// Writes docs/cloud.md: diagrams of what the configuration creates on AWS.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { provideSstPlatform, root } from '../support/sst-platform.ts'

await provideSstPlatform((line) => process.stderr.write(`${line}\n`))
const { production, twoRegions } = await import('./clouds.ts')
const { cloudPage } = await import('./cloud-diagram.ts')
writeFileSync(join(root, 'docs/cloud.md'), cloudPage({ production, twoRegions }))
process.exit()
