import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { platform, root } from '../support/sst-platform.ts'
import { applyMutation, type Mutation } from './mutation.ts'

/** Folders of the root that no test reads. */
const skipped = new Set(['.git', '.millrace', '.sst', 'node_modules'])

/**
 * Copies the repository. Installed packages are links; the links to our own packages lead into the copy.
 *
 * @param directory a new directory for the copy
 */
export async function createTreeCopy(directory: string) {
  await mkdir(directory, { recursive: true })
  for (const name of await readdir(root)) {
    if (skipped.has(name)) continue
    await cp(join(root, name), join(directory, name), { recursive: true, filter: isSource })
  }
  await linkPackages(directory)
  if (existsSync(platform)) await linkPlatform(directory)

  return {
    directory,

    /**
     * Plants a mutation.
     * @returns a function that removes it
     * @throws Error if its text is not found exactly once
     */
    async plant(mutation: Mutation): Promise<() => Promise<void>> {
      const path = join(directory, mutation.file)
      const original = await readFile(path, 'utf8')
      await writeFile(path, applyMutation(original, mutation))
      return () => writeFile(path, original)
    },
  }
}

export type TreeCopy = Awaited<ReturnType<typeof createTreeCopy>>

function isSource(path: string): boolean {
  return !/\/(node_modules|dist)$/.test(path)
}

async function linkPackages(directory: string) {
  const scope = '@millrace'
  await linkAll(join(root, 'node_modules'), join(directory, 'node_modules'), [scope, '.cache'])
  await mkdir(join(directory, 'node_modules', scope))
  for (const name of await readdir(join(root, 'node_modules', scope))) {
    // Relative, such as ../../packages/shared.
    const target = await readlink(join(root, 'node_modules', scope, name))
    await symlink(target, join(directory, 'node_modules', scope, name))
  }
  for (const folder of ['packages', 'examples']) {
    for (const name of await readdir(join(root, folder))) {
      const installed = join(folder, name, 'node_modules')
      if (existsSync(join(root, installed))) await symlink(join(root, installed), join(directory, installed))
    }
  }
}

/** The platform's directory must be one of the copy, because the bundle is written into it. */
async function linkPlatform(directory: string) {
  const bundle = (await readdir(platform)).filter((name) => name.startsWith('millrace.'))
  await linkAll(platform, join(directory, '.sst/platform'), bundle)
  await symlink(join(root, '.sst/provider-lock.json'), join(directory, '.sst/provider-lock.json'))
}

async function linkAll(from: string, to: string, except: readonly string[]) {
  await mkdir(to, { recursive: true })
  for (const name of await readdir(from)) {
    if (!except.includes(name)) await symlink(join(from, name), join(to, name))
  }
}
