import { readFile } from 'node:fs/promises'

/** Reads a file of `tests/fixtures/images`. They were made by a script; each once had a wrong outcome, or is a control. */
export async function fixtureImage(name: string): Promise<Buffer> {
  return readFile(new URL(`../../fixtures/images/${name}`, import.meta.url))
}
