// `npm run test:infra` runs the tests of stacks/; with `--mutate [text…]` it tests these tests.
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { mutate: { type: 'boolean', default: false } },
})
if (values.mutate) {
  const { mutate } = await import('./mutations/main.ts')
  process.exitCode = await mutate(positionals)
} else {
  process.argv.push('stacks/')
  await import('../run.ts')
}
