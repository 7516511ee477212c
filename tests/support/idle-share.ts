import { cpus } from 'node:os'

/** Time of all cores since the machine's start, in ms. */
type CoreTimes = { idle: number; all: number }

/**
 * Creates a function that returns which share of the time of all cores was idle since its last call, from 0 to 1.
 * @param deps.read the times of all cores; by default those of this machine
 */
export function createIdleShare({ read = readCoreTimes }: { read?: () => CoreTimes } = {}) {
  let last = read()
  return (): number => {
    const now = read()
    const share = (now.idle - last.idle) / (now.all - last.all)
    last = now
    // The clock of cores has ticks: two calls within one see no time.
    return Number.isFinite(share) ? share : 0
  }
}

function readCoreTimes(): CoreTimes {
  const times = cpus().map(({ times }) => times)
  const idle = times.reduce((sum, core) => sum + core.idle, 0)
  const busy = times.reduce((sum, core) => sum + core.user + core.nice + core.sys + core.irq, 0)
  return { idle, all: idle + busy }
}
