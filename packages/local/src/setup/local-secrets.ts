import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { StartError } from './start-error.ts'

const LocalSecrets = Type.Object({
  accessKeyId: Type.String({ minLength: 1 }),
  secretAccessKey: Type.String({ minLength: 1 }),
  /** Keys of 32 bytes each, in base64: the first seals cookies, all open them. */
  sessionKeys: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
})
export type LocalSecrets = Static<typeof LocalSecrets>

const validator = Compile(LocalSecrets)

/**
 * Reads a data directory's own credentials and keys, and makes them at random the first time.
 * Only the user who made them may read the file.
 * @throws StartError when the file is damaged
 */
export async function readLocalSecrets(directory: string): Promise<LocalSecrets> {
  const file = join(directory, 'secrets.json')
  try {
    const secrets: unknown = JSON.parse(await readFile(file, 'utf8'))
    return validator.Parse(secrets)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!missing) {
      throw new StartError(`${file} is damaged: delete it to have new keys made (sessions will end).`)
    }
  }
  const secrets: LocalSecrets = {
    accessKeyId: `MILLRACE${randomBytes(6).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
    sessionKeys: [randomBytes(32).toString('base64')],
  }
  await mkdir(directory, { recursive: true })
  const draft = `${file}.new`
  await writeFile(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 })
  await rename(draft, file)
  return secrets
}
