import { readdir, readFile, statfs } from 'node:fs/promises'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import { type Check, error, type Finding, note, ok, skipped, warning } from './finding.ts'

const GiB = 1024 ** 3
const lowDiskBytes = 5 * GiB
const criticalDiskBytes = GiB / 2
const workerProgram = 'packages/worker/src/main.ts'
const knownAllocators = /jemalloc|mimalloc|tcmalloc/

/** The check of the presets that the services would read. @param variables PRESETS_FILE or PRESETS */
export function presetsCheck(variables: {
  PRESETS_FILE?: string | undefined
  PRESETS?: string | undefined
}): Check {
  return {
    name: 'presets',
    async run() {
      const problems: string[] = []
      const presets = readPresets(variables, (problem) => problems.push(problem))
      if (problems.length > 0) {
        return problems.map((problem) => error(problem, 'Correct the preset (docs/presets.md).'))
      }
      return [ok(`The presets are valid: ${[...presets.keys()].join(', ')}.`)]
    },
  }
}

/** The check of the free space where `npm start` keeps files. */
export function diskCheck(directory: string): Check {
  return {
    name: 'disk',
    async run() {
      const { bavail, bsize } = await statfs(directory)
      return [diskFinding(bavail * bsize, directory)]
    },
  }
}

/** Exported for a test, since a full disk disturbs others. */
export function diskFinding(freeBytes: number, directory: string): Finding {
  const free = `${(freeBytes / GiB).toFixed(1)} GiB are free in ${directory}`
  const remedy = 'Delete files, or choose another place with --data.'
  if (freeBytes < criticalDiskBytes) return error(`${free}: uploads fail soon.`, remedy)
  return freeBytes < lowDiskBytes ? warning(`${free}.`, remedy) : ok(`${free}.`)
}

/**
 * The check of the allocator of the workers on this machine. libvips allocates and frees large blocks from many threads;
 * glibc's allocator keeps them, so a worker's memory grows to several times what it uses (sharp's documentation).
 *
 * @param procDirectory `/proc`, or a copy of its layout
 */
export function allocatorCheck(procDirectory = '/proc'): Check {
  return {
    name: 'allocator',
    async run() {
      const workers = await processesOf(procDirectory, workerProgram)
      if (workers.length === 0)
        return [skipped('The allocator is not known: no worker runs on this machine.')]
      const allocators = await Promise.all(
        workers.map(async (pid) => {
          const maps = await readFile(`${procDirectory}/${pid}/maps`, 'utf8').catch(() => '')
          return knownAllocators.exec(maps)?.[0] ?? (/musl/.test(maps) ? 'musl' : 'glibc')
        }),
      )
      const names = [...new Set(allocators)].join(', ')
      if (names === 'jemalloc' || names === 'mimalloc' || names === 'tcmalloc') {
        return [ok(`Workers allocate with ${names}.`)]
      }
      return [
        note(
          `Workers allocate with ${names}, which keeps memory that images have freed. In production start them with jemalloc (LD_PRELOAD), as the image does.`,
        ),
      ]
    },
  }
}

/** Returns the ids of the processes that run a program. Without /proc, none. */
async function processesOf(procDirectory: string, program: string): Promise<string[]> {
  const entries = await readdir(procDirectory).catch(() => [])
  const found = await Promise.all(
    entries
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        const command = await readFile(`${procDirectory}/${pid}/cmdline`, 'utf8').catch(() => '')
        return command.split('\0').some((part) => part.endsWith(program)) ? [pid] : []
      }),
  )
  return found.flat()
}
