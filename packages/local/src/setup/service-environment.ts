import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const Variables = Compile(Type.Record(Type.String(), Type.String()))

const fileOf = (directory: string) => join(directory, 'services.json')

/**
 * Stores the variables that connect a service to the running system, so that commands can reach it. They contain secrets:
 * only the user who started the system can read the file.
 *
 * @returns a function that deletes the file
 */
export async function writeServiceEnvironment(directory: string, variables: Record<string, string>) {
  const file = fileOf(directory)
  const temporaryFile = `${file}.new`
  await writeFile(temporaryFile, `${JSON.stringify(variables, null, 2)}\n`, { mode: 0o600 })
  await rename(temporaryFile, file)
  return async () => rm(file, { force: true })
}

/** Reads the variables of the system that runs on a data directory, or undefined if none runs. */
export async function readServiceEnvironment(directory: string): Promise<Record<string, string> | undefined> {
  try {
    const variables: unknown = JSON.parse(await readFile(fileOf(directory), 'utf8'))
    return Variables.Parse(variables)
  } catch {
    return undefined
  }
}
