import { parseArgs } from 'node:util'
import { runProgram, runServiceCommand } from './setup/service-command.ts'

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
  // Without a tenant, a key is only printed.
  if (tenant === undefined) return runProgram(program, others, process.env)
  return runServiceCommand(program, others, typeof data === 'string' ? data : '.millrace')
}

process.exitCode = await main(process.argv.slice(2))
