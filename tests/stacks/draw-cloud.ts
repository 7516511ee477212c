// Draws docs/cloud.md and the README's picture: what is built on AWS, as it is built.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { provideSstPlatform, root } from '../support/sst-platform.ts'

await provideSstPlatform((line) => process.stderr.write(`${line}\n`))
const { production, world } = await import('./clouds.ts')
const { cloudPage, readmeWithDrawing } = await import('./cloud-diagram.ts')
writeFileSync(join(root, 'docs/cloud.md'), cloudPage({ production, world }))
const readme = join(root, 'README.md')
writeFileSync(readme, readmeWithDrawing(readFileSync(readme, 'utf8'), production))
process.exit()
