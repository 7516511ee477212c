import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../../..')
const source = join(root, 'packages/client')

const npm = process.env['npm_execpath']
/** The npm that runs the tests, otherwise that of the machine. */
export const npmCommand: [string, ...string[]] = npm ? [process.execPath, npm] : ['npm']

const Packed = Compile(
  Type.Array(
    Type.Object({ filename: Type.String(), files: Type.Array(Type.Object({ path: Type.String() })) }),
    {
      minItems: 1,
      maxItems: 1,
    },
  ),
)
const Manifest = Compile(Type.Object({ dependencies: Type.Record(Type.String(), Type.String()) }))

/**
 * Packs the client as `npm publish` does.
 *
 * @param folder where the tarball goes
 * @returns the tarball's path, and the paths in it
 * @throws Error if the client does not compile
 */
export async function packClient(folder: string) {
  const [program, ...parameters] = npmCommand
  const { stdout } = await run(program, [...parameters, 'pack', '--json', '--pack-destination', folder], {
    cwd: source,
  }).catch((error) => {
    // The compiler prints its errors on stdout, which the message has not.
    throw new Error(`The client was not packed.\n${error.stdout}${error.stderr}`)
  })
  // The output of the build comes first.
  const packed: unknown = JSON.parse(stdout.slice(stdout.search(/^\[$/m)))
  if (!Packed.Check(packed)) throw new Error(`npm pack printed something else:\n${stdout}`)
  const [{ filename, files } = { filename: '', files: [] }] = packed
  return { tarball: join(folder, filename), files: files.map(({ path }) => path) }
}

/**
 * Packs the client and installs it into an empty folder, which has nothing else but the packages that the client declares as
 * its dependencies. They are linked, so that no registry is needed.
 *
 * @param alsoLinked further packages that the folder's programs import
 */
export async function installPackedClient(alsoLinked: string[] = []) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-packed-client-'))
  const { tarball, files } = await packClient(folder)
  const installed = join(folder, 'node_modules/@millrace/client')
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'])
  const manifest: unknown = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  if (!Manifest.Check(manifest)) throw new Error('The packed package.json has no dependencies.')
  for (const name of [...Object.keys(manifest.dependencies), ...alsoLinked]) {
    const link = join(folder, 'node_modules', name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, 'node_modules', name), link)
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  return {
    folder,
    tarball,
    /** Paths in the package. */
    files,
    manifest,
    remove: () => rm(folder, { recursive: true }),
  }
}

export type PackedClient = Awaited<ReturnType<typeof installPackedClient>>
