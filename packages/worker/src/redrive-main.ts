import { redriveCommand } from '@millrace/shared/command/commands.ts'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { deadLetterObjects } from '@millrace/shared/jobs/dead-letter-objects.ts'
import { createDeadLetters, type DeadLetter } from '@millrace/shared/jobs/dead-letters.ts'
import { runCommand } from './run-command.ts'

/** How many messages a dry run lists by default. */
const defaultListed = '10'

/**
 * Sends the dead letters of S3's events to the events queue again, with the settings of a worker. `npm run redrive` runs it
 * (packages/local/src/redrive-main.ts); in a container of the worker, run this file itself.
 */
process.exitCode = await runCommand(
  redriveCommand,
  { parameters: process.argv.slice(2), environment: process.env },
  ({ values, config, redis, sqs, progress, signal, print }) => {
    const { 'dry-run': isDryRun, list = defaultListed, limit } = values
    const { bucket, redisPrefix: prefix, deadLetterQueueUrl, eventsQueueUrl } = config
    const failures = createArrivalFailures({ redis, prefix })
    let moved = 0

    async function redrive(): Promise<number> {
      if (deadLetterQueueUrl === undefined) {
        process.stderr.write('DEAD_LETTER_QUEUE_URL is not set: it is the URL of the dead-letter queue.\n')
        return 2
      }
      const deadLetters = createDeadLetters({ sqs, deadLetterQueueUrl, eventsQueueUrl })
      const before = await deadLetters.count()
      if (isDryRun) {
        const letters = await deadLetters.list({ limit: Number(list) })
        const reasons = await failures.find(letters.map(({ id }) => id))
        const lines = letters.map((letter, i) => `  ${describe(letter)}  ${reasons[i]?.code ?? ''}`.trimEnd())
        const text = [...lines, `Dry run: ${plural(before.visible)} would be moved, nothing was changed.`, '']
        print(text.join('\n'), { dryRun: true, moved: 0, count: before.visible, hidden: before.hidden })
        return 0
      }
      const most = limit === undefined ? Number.POSITIVE_INFINITY : Number(limit)
      await deadLetters.redrive({
        limit: most,
        signal,
        onProgress(count) {
          moved = count
          progress.show({ done: count, total: Math.min(before.visible, most), text: 'dead letters moved' })
        },
      })
      const { visible, hidden } = await deadLetters.count()
      print(`${plural(moved)} moved to the events queue.\n`, {
        dryRun: false,
        moved,
        count: visible,
        hidden,
      })
      if (signal.aborted) throw signal.reason
      if (moved >= most) return 0
      if (visible + hidden === 0) return 0
      process.stderr.write(
        `About ${visible + hidden} are left, which another reader may have at the moment: run it again in two minutes.\n`,
      )
      return 1
    }

    function describe({ id, body, sentAtMs, receivedCount }: DeadLetter): string {
      const objects = deadLetterObjects(body, bucket)
      const what = objects?.map(({ key, kind }) => `${kind} ${key}`).join(', ') ?? 'not an S3 event'
      return `${new Date(sentAtMs).toISOString()}  ${id}  received ${receivedCount} times  ${what}`
    }

    return {
      run: redrive,
      hint: () => `${plural(moved)} moved. Run it again for the rest: none is lost.`,
    }
  },
)

function plural(count: number): string {
  return `${count} dead ${count === 1 ? 'letter' : 'letters'}`
}
