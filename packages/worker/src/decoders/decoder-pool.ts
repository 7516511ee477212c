import {
  type DecoderInput,
  type DecoderProcess,
  type JobEnd,
  type JobOptions,
  startDecoderProcess,
} from './decoder-process.ts'

/** When a decoder is replaced: after so many jobs, or if it keeps more memory than this after a job. */
export type RecycleLimits = { jobs: number; rssBytes: number }

/**
 * Keeps decoder processes warm. A job gets an idle process, or a new one. The caller limits how many jobs run at a time.
 *
 * @param deps.program path of the decoders' program
 * @param deps.environment their whole environment
 */
export function createDecoderPool(deps: {
  program: string
  environment: Record<string, string>
  recycle: RecycleLimits
}) {
  const { program, environment, recycle } = deps
  type Member = { decoder: DecoderProcess; jobs: number }
  /** The last one was used last, so the others may be swapped out. */
  const idle: Member[] = []
  /** All processes that have not ended, and the most memory that libvips used in each, in bytes. */
  const living = new Map<DecoderProcess, number>()
  let isClosed = false

  function take(fresh: boolean): Member {
    for (let member = idle.pop(); member; member = idle.pop()) {
      if (!fresh && member.decoder.isAlive()) return member
      member.decoder.kill()
      // One is replaced, so that there are never more processes than jobs at a time.
      if (fresh) break
    }
    if (isClosed) throw new Error('The decoders are closed.')
    const decoder = startDecoderProcess({ program, environment })
    living.set(decoder, 0)
    decoder.exited.then(() => living.delete(decoder))
    return { decoder, jobs: 0 }
  }

  function giveBack(member: Member, rssBytes = 0): void {
    const isWorn = member.jobs >= recycle.jobs || rssBytes > recycle.rssBytes
    if (isClosed || isWorn) member.decoder.kill()
    else idle.push(member)
  }

  return {
    /** Returns the process ids of decoders that run a job. */
    busyPids: (): (number | undefined)[] =>
      [...living.keys()].filter((one) => idle.every(({ decoder }) => decoder !== one)).map(({ pid }) => pid),

    /** Returns what all decoders use, with the programs that they started. Sizes in bytes. */
    usage() {
      const isIdle = new Set(idle.map(({ decoder }) => decoder))
      const all = [...living.keys()].filter((decoder) => decoder.isAlive())
      return {
        idle: all.filter((decoder) => isIdle.has(decoder)).length,
        busy: all.filter((decoder) => !isIdle.has(decoder)).length,
        rssBytes: all.reduce((sum, decoder) => sum + (decoder.usage()?.rssBytes ?? 0), 0),
        libvipsPeakBytes: Math.max(0, ...all.map((decoder) => living.get(decoder) ?? 0)),
      }
    },

    /**
     * Starts a decoder for the first job.
     * @throws Error if it does not start
     */
    async prepare(): Promise<void> {
      const member = take(false)
      try {
        await member.decoder.whenStarted()
      } catch (error) {
        member.decoder.kill()
        throw error
      }
      giveBack(member)
    },

    /**
     * Runs one job in a decoder of its own.
     * @param options.fresh in a new process
     * @throws the signal's reason if it aborts, and what `readRange` throws
     */
    async run(input: DecoderInput, { fresh, ...options }: JobOptions & { fresh: boolean }): Promise<JobEnd> {
      const member = take(fresh)
      member.jobs += 1
      try {
        const end = await member.decoder.run(input, options)
        if (end.end === 'answered' && end.last.type === 'rendered') {
          living.set(member.decoder, end.last.libvipsPeakBytes ?? 0)
        }
        if (end.end === 'answered' && end.last.type !== 'broken') giveBack(member, end.used?.rssBytes)
        else member.decoder.kill()
        return end
      } catch (error) {
        member.decoder.kill()
        throw error
      }
    },

    /** Ends all decoders, and with them their jobs. */
    async close(): Promise<void> {
      isClosed = true
      const ending = [...living.keys()]
      for (const decoder of ending) decoder.kill()
      await Promise.all(ending.map(({ exited }) => exited))
    },
  }
}

export type DecoderPool = ReturnType<typeof createDecoderPool>
