// Draws docs/cloud.md: what is built on AWS, as it is built.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { provideSstPlatform, root } from './support/sst-platform.ts'

await provideSstPlatform((line) => process.stderr.write(`${line}\n`))
const { production, world } = await import('./infra/clouds.ts')
const { cloudPage } = await import('./infra/cloud-diagram.ts')
writeFileSync(join(root, 'docs/cloud.md'), cloudPage({ production, world }))
process.exit()
