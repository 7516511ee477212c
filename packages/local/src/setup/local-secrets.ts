import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { hasErrorCode } from './error-code.ts'
import { StartError } from './start-error.ts'

const StoredSecrets = Type.Object({
  accessKeyId: Type.String({ minLength: 1 }),
  secretAccessKey: Type.String({ minLength: 1 }),
  /** Keys of 32 bytes each, in base64. The first one seals cookies; all of them open cookies. */
  sessionKeys: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
  /** Of the Redis server that is started. Files of earlier versions have none. */
  redisPassword: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+$' })),
})
export type LocalSecrets = Required<Static<typeof StoredSecrets>>

const validator = Compile(StoredSecrets)

/**
 * Reads the credentials, session keys and passwords of a data directory. Creates random ones the first time.
 * Only the user who created the file can read it.
 * @throws StartError if the file is damaged
 */
export async function readLocalSecrets(directory: string): Promise<LocalSecrets> {
  const file = join(directory, 'secrets.json')
  const stored = await readStoredSecrets(file)
  const secrets: LocalSecrets = {
    accessKeyId: `MILLRACE${randomBytes(6).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
    sessionKeys: [randomBytes(32).toString('base64')],
    redisPassword: randomBytes(30).toString('base64url'),
    ...stored,
  }
  if (stored?.redisPassword !== undefined) return secrets
  await mkdir(directory, { recursive: true })
  const temporaryFile = `${file}.new`
  await writeFile(temporaryFile, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 })
  await rename(temporaryFile, file)
  return secrets
}

/** Returns undefined if there is no file yet. */
async function readStoredSecrets(file: string): Promise<Static<typeof StoredSecrets> | undefined> {
  try {
    const secrets: unknown = JSON.parse(await readFile(file, 'utf8'))
    return validator.Parse(secrets)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined
    throw new StartError(`${file} is damaged: delete it to create new keys. All sessions will end.`)
  }
}
