import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { compileCacheVariables } from './compile-cache.ts'

/** What the program saw, written beside it. */
const Seen = Compile(
  Type.Object({
    pid: Type.Integer(),
    arguments: Type.Array(Type.String()),
    environment: Type.Array(Type.String()),
    format: Type.Optional(Type.String()),
    codecs: Type.Optional(Type.Array(Type.String())),
    packets: Type.Optional(Type.Integer()),
  }),
)

/**
 * Makes a program in the place of ffmpeg. It records how it was started and what it got, and then answers with a picture of
 * four quarters, hangs, spins, or fails.
 *
 * @returns its path, and what it saw last; undefined if it was not started
 */
export async function makeFakeFfmpeg(does: 'picture' | 'hang' | 'spin' | 'fail' | 'flood') {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-ffmpeg-'))
  const path = join(directory, 'ffmpeg')
  const report = join(directory, 'seen.json')
  const program = fileURLToPath(import.meta.resolve('./fake-ffmpeg-program.ts'))
  // ffmpeg has no environment, so the interpreter's path is absolute, and the compile cache is not a variable.
  const { NODE_COMPILE_CACHE: directoryOfCache } = compileCacheVariables
  const script = [
    `#!${process.execPath}`,
    ...(directoryOfCache === undefined
      ? []
      : [`require('node:module').enableCompileCache(${JSON.stringify(directoryOfCache)})`]),
    `globalThis.fake = ${JSON.stringify({ does, report })}`,
    `import(${JSON.stringify(program)})`,
  ]
  await writeFile(path, `${script.join('\n')}\n`)
  await chmod(path, 0o755)
  return {
    path,
    async seen() {
      const text = await readFile(report, 'utf8').catch(() => undefined)
      return text === undefined || text === '' ? undefined : Seen.Parse(JSON.parse(text))
    },
  }
}
