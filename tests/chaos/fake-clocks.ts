import { globSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where Debian's package `libfaketime` has its library. */
const libraryPattern = '/usr/lib/*/faketime/libfaketime.so.1'

/** Returns the path of libfaketime, or undefined if it is not installed. Without it, clocks cannot jump. */
export function findClockLibrary(): string | undefined {
  return globSync(libraryPattern)[0]
}

/**
 * Creates the clocks of services, which can jump while they run. Timers use the monotonic clock, which does not jump.
 * @param deps.library path of libfaketime; undefined: no clock jumps
 * @param deps.directory has a file with the offset of each clock
 */
export function createFakeClocks({ library, directory }: { library: string | undefined; directory: string }) {
  const fileOf = (service: string) => join(directory, `clock-${service}`)

  /** Sets the offset of a service's clock, in seconds. */
  async function setOffset(service: string, seconds: number): Promise<void> {
    // Renamed, because a half written offset would be another one.
    await writeFile(`${fileOf(service)}.new`, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`)
    await rename(`${fileOf(service)}.new`, fileOf(service))
  }

  return {
    setOffset,
    /** Returns the variables that give a service its clock. */
    async variables(service: string): Promise<NodeJS.ProcessEnv> {
      if (library === undefined) return {}
      await setOffset(service, 0)
      return {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: fileOf(service),
        // How long an offset is used before the file is read again, in seconds.
        FAKETIME_CACHE_DURATION: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      }
    },
  }
}
