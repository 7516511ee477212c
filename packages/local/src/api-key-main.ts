import { parseArgs } from 'node:util'
import { loadEnvFile } from './setup/env-file.ts'
import { runProgram, runServiceCommand } from './setup/service-command.ts'
import { withStartErrors } from './setup/with-start-errors.ts'

const program = 'api/src/api-key-main.ts'

/**
 * `npm run api-key`: runs the API's command (its usage is there) with the settings of a running `npm start`, or with those
 * in the environment. Only the option --data is read here.
 *
 * @returns the exit code
 */
async function main(parameters: string[]): Promise<number> {
  const { values, tokens } = parseArgs({
    args: parameters,
    options: { data: { type: 'string' }, tenant: { type: 'string' } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const { data, tenant } = values
  const own = tokens.flatMap((token) => {
    if (token.kind !== 'option' || token.name !== 'data') return []
    return token.inlineValue ? [token.index] : [token.index, token.index + 1]
  })
  const others = parameters.filter((_, index) => !own.includes(index))
  loadEnvFile(process.env)
  // Without a tenant, a key is only printed.
  if (tenant === undefined) return runProgram(program, others, process.env)
  return runServiceCommand(program, others, typeof data === 'string' ? data : '.millrace')
}

process.exitCode = await withStartErrors(() => main(process.argv.slice(2)))
