import { parseArgs } from 'node:util'
import { serviceVariables } from '@millrace/shared/config/service-variables.ts'
import { connectS3 } from '@millrace/shared/connections/connections.ts'
import { type Environment, EnvironmentError, openEnvironment } from '@millrace/shared/service/environment.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { createKeyStore, type KeyStore, type StoredApiKey } from '@millrace/shared/tenants/key-store.ts'
import Type from 'typebox'
import { newApiKey } from './credentials/api-keys.ts'
import { Scope } from './credentials/caller.ts'

const usage = `Usage: npm run api-key -- create --tenant NAME [options]   create a key of a tenant; it is shown once
       npm run api-key -- list --tenant NAME               list the keys of a tenant
       npm run api-key -- revoke --tenant NAME ID          revoke a key
       npm run api-key -- create NAME [SCOPE …]            print a key and its entry for API_KEYS, and store nothing

  --scope SCOPE       what the key may do, as often as needed (default uploads:read and uploads:write)
  --description TEXT  what the key is for
  --expires-in N      seconds until the key expires (default: never)
  --data DIR          data directory of the running \`npm start\` (default .millrace)
  --help              print this text and exit

Scopes: ${Scope.anyOf.map((scope) => scope.const).join(', ')}.
With BUCKET in the environment or in .env, the variables of the API are used instead of those of \`npm start\`
(.env.example), for example on AWS. Running instances know a new key, and refuse a revoked one, within seconds.
`

const defaultScopes = ['uploads:read', 'uploads:write']
/** Characters of a description, as of those that `POST /keys` takes. */
const maxDescription = 256
/** How many keys of a tenant are read at a time. */
const pageSize = 100

/** What is wrong with the command line, in one sentence. */
class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What the command gets from its process. */
type Surroundings = {
  environment: Environment
  print(text: string): void
  printError(text: string): void
}

/**
 * Creates, lists and revokes API keys in S3, or prints an entry for API_KEYS.
 *
 * @param parameters the command line, without the program
 * @returns the exit code: 2 if the command line is wrong, 1 if the command failed
 */
export async function runApiKeyCommand(parameters: string[], surroundings: Surroundings): Promise<number> {
  try {
    return await run(parameters, surroundings)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const isUsage = error instanceof UsageError
    surroundings.printError(isUsage ? `${message}\n\n${usage}` : `The command failed: ${message}\n`)
    return isUsage ? 2 : 1
  }
}

function readCommandLine(parameters: string[]) {
  try {
    return parseArgs({
      args: parameters,
      allowPositionals: true,
      options: {
        tenant: { type: 'string' },
        scope: { type: 'string', multiple: true, default: [] },
        description: { type: 'string', default: '' },
        'expires-in': { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : '')
  }
}

/** @returns the exit code */
async function run(parameters: string[], surroundings: Surroundings): Promise<number> {
  const { environment, print, printError } = surroundings
  const { values, positionals } = readCommandLine(parameters)
  const { tenant, scope, description } = values
  const [command, ...rest] = positionals
  if (values.help) {
    print(usage)
  } else if (command === 'create' && tenant === undefined && rest[0] !== undefined) {
    printEntry(rest[0], [...rest.slice(1), ...scope], print)
  } else if (tenant === undefined) {
    throw new UsageError('A tenant is missing.')
  } else if (command === 'create' && rest.length === 0) {
    const seconds = values['expires-in']
    await create(tenant, { scopes: scope, description, seconds }, surroundings)
  } else if (command === 'list' && rest.length === 0) {
    await withStore(environment, (store) => list(store, tenant, print))
  } else if (command === 'revoke' && rest[0] !== undefined && rest.length === 1) {
    const [id] = rest
    const isRevoked = await withStore(environment, (store) => store.remove(tenant, id))
    if (!isRevoked) {
      printError(`The tenant ${tenant} has no key ${id} in S3. Keys in API_KEYS are removed there.\n`)
      return 1
    }
    print(`Revoked ${id}.\n`)
  } else {
    throw new UsageError('The command must be create, list or revoke.')
  }
  return 0
}

/** Prints a key and its entry for API_KEYS. */
function printEntry(owner: string, scopes: string[], print: Surroundings['print']): void {
  const { key, entry } = newKey(owner, scopes)
  print(`Key, shown only now:   ${key}\nAdd this to API_KEYS:  ${entry}\n`)
}

async function create(
  tenant: string,
  given: { scopes: string[]; description: string; seconds: string | undefined },
  { environment, print }: Surroundings,
): Promise<void> {
  const { description, seconds } = given
  const scopes = given.scopes.length > 0 ? given.scopes : defaultScopes
  // Checks the names.
  newKey(tenant, scopes)
  if (description.length > maxDescription) {
    throw new UsageError(`--description must have at most ${maxDescription} characters.`)
  }
  if (seconds !== undefined && !/^[1-9]\d{0,8}$/.test(seconds)) {
    throw new UsageError('--expires-in must be a number of seconds.')
  }
  const expiresAtMs = seconds === undefined ? undefined : Date.now() + Number(seconds) * 1000
  await withStore(environment, async (store) => {
    const { key, stored } = await store.create({
      tenant,
      scopes: [...new Set(scopes)],
      description,
      createdBy: 'command',
      expiresAtMs,
    })
    print(`Key, shown only now:  ${key}\n${describe(stored)}\n`)
  })
}

/** @throws UsageError if the tenant or a scope is not valid */
function newKey(tenant: string, scopes: string[]) {
  try {
    return newApiKey(tenant, scopes.length > 0 ? scopes : defaultScopes)
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    throw new UsageError(
      'A tenant has up to 63 lower-case letters, digits and dashes, and does not begin with a dash, "s-" or "u-". Scopes are listed below.',
    )
  }
}

async function list(store: KeyStore, tenant: string, print: Surroundings['print']): Promise<void> {
  let after: string | undefined
  do {
    const { keys, nextCursor } = await store.list(tenant, { after, limit: pageSize })
    for (const key of keys) print(`${describe(key)}\n`)
    after = nextCursor
  } while (after !== undefined)
}

function describe({ id, scopes, description, createdAt, createdBy, expiresAt }: StoredApiKey): string {
  const parts = [
    id,
    scopes.join('+'),
    `created ${createdAt} by ${createdBy}`,
    ...(expiresAt ? [`expires ${expiresAt}`] : []),
    ...(description ? [description] : []),
  ]
  return parts.join('  ')
}

async function withStore<T>(environment: Environment, use: (store: KeyStore) => Promise<T>): Promise<T> {
  const bucket = readConfigOrExit(readBucket, environment)
  const s3 = connectS3()
  try {
    return await use(createKeyStore({ s3, bucket }))
  } finally {
    s3.destroy()
  }
}

/** @throws EnvironmentError */
function readBucket(environment: Environment): string {
  return openEnvironment(Type.Object({ BUCKET: serviceVariables.BUCKET }), environment).complete().BUCKET
}
