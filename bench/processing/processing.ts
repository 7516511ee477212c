import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { type Comparison, measure } from '../measure.ts'
import { printTable } from '../print-table.ts'
import { treeBytes, treeCpuSeconds } from '../process-tree.ts'
import { type ServerProcess, startServerProcess } from '../server-process.ts'
import { startSystem } from '../system.ts'
import { openBareQueue } from './bare-queue.ts'
import { makeCorpus, type SampleFile } from './corpus.ts'
import { startUploader, type Uploader } from './upload-files.ts'

// Compares the worker with bare sharp: the same files, the same variants. The measure is the CPU time of the worker with
// its decoders, user and kernel. The API, S3, SQS and Redis are not counted; bare sharp reads local files and writes none.
// The bare worker shows what BullMQ, the SDK and sharp take by themselves for such a job.

const full = { rounds: 7, plainFiles: 2_000, images: 5_000 }
const quick = { rounds: 3, plainFiles: 300, images: 200 }
const MiB = 1024 ** 2
/** How often memory is read, in ms. */
const sampleMs = 250

/**
 * Runs the benchmark and prints its results. The last line is the ratio to bare sharp.
 *
 * @param options.quick fewer rounds and files
 * @param options.before a checkout of another version, measured in the same rounds
 */
export async function run(options: { quick: boolean; before?: string }): Promise<void> {
  const { rounds, plainFiles, images } = options.quick ? quick : full
  const closers: (() => Promise<unknown>)[] = []
  try {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-processing-'))
    closers.push(() => rm(directory, { recursive: true, force: true }))
    const corpus = await makeCorpus()
    await Promise.all(corpus.map(({ name, bytes }) => writeFile(join(directory, name), bytes)))
    const concurrency = availableParallelism()
    const bare = await startServerProcess(fileURLToPath(import.meta.resolve('./bare-sharp.ts')), {
      FILES: directory,
      CONCURRENCY: String(concurrency),
      MALLOC_ARENA_MAX: '2',
    })
    closers.push(bare.close)
    const versions = await Promise.all(
      [resolve(import.meta.dirname, '../..'), ...(options.before ? [resolve(options.before)] : [])].map(
        async (checkout, index) => {
          const version = await startVersion(index === 0 ? 'worker' : 'worker before', checkout)
          closers.push(version.close)
          return version
        },
      ),
    )
    const bareWorker = await startBareWorker(versions, concurrency)
    closers.push(bareWorker.close)
    const request = (path: string) => async () => {
      await (await fetch(`http://127.0.0.1:${bare.port}${path}`)).text()
      return corpus.length
    }
    const bytes = corpus.reduce((sum, file) => sum + file.bytes.length, 0)
    const comparison: Comparison = {
      name: `${corpus.length} files of ${(bytes / MiB).toFixed(1)} MiB, four variants of each`,
      note: 'Bare sharp reads local files and writes nothing. The worker reads from S3, checks, writes to S3 and Redis.',
      unit: 'files per CPU second',
      baseline: { name: 'bare sharp, one decoding', server: withTree(bare), run: request('/cascade') },
      candidates: [
        { name: 'bare sharp, decoding for each variant', server: withTree(bare), run: request('/naive') },
        {
          name: 'bare worker',
          server: withTree(bareWorker.server),
          run: async () => {
            await bareWorker.queue.process(corpus, { atOnce: 4, isImage: true })
            return corpus.length
          },
        },
        ...versions.map(({ name, system, uploader }) => ({
          name,
          server: withTree(system.worker),
          goal: 0.95,
          run: async () => {
            await uploader.process(corpus, 4)
            return corpus.length
          },
        })),
      ],
    }
    process.stdout.write(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}\n`)
    const results = await measure(comparison, rounds)
    printTable(comparison, results)

    await measureBareJobs(bareWorker, plainFiles)
    for (const version of versions) {
      await measurePlainFiles(version, plainFiles)
      await measureMemory(version, corpus, images)
    }
    const ratio = results.find(({ candidate }) => candidate.name === 'worker')?.ratio ?? Number.NaN
    process.stdout.write(`\nratio to bare sharp: ${ratio.toFixed(2)}\n`)
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

type Version = Awaited<ReturnType<typeof startVersion>>

async function startVersion(name: string, checkout: string) {
  const system = await startSystem(checkout, {})
  const uploader: Uploader = await startUploader(system.url)
  return {
    name,
    system,
    uploader,
    async close(): Promise<void> {
      await uploader.close()
      await system.close()
    },
  }
}

/** Starts the bare worker beside the first version's S3 and Redis. */
async function startBareWorker([version]: Version[], concurrency: number) {
  if (!version) throw new Error('There is no version to measure.')
  const { cloud, redisUrl, s3 } = version.system
  const queue = await openBareQueue({ redisUrl, s3, bucket: cloud.BUCKET })
  const server = await startServerProcess(fileURLToPath(import.meta.resolve('./bare-worker.ts')), {
    ...cloud,
    REDIS_URL: redisUrl,
    CONCURRENCY: String(2 * concurrency),
    MALLOC_ARENA_MAX: '2',
  })
  return {
    queue,
    server,
    async close(): Promise<void> {
      await server.close()
      await queue.close()
    },
  }
}

/** Counts the CPU time of a server's processes, not only its own. */
function withTree(server: ServerProcess): ServerProcess {
  return { ...server, cpuSeconds: () => treeCpuSeconds(server.pid) }
}

/**
 * Makes files that are no images: 4 kB of random bytes each, after a text. Without it, one in some thousand begins with the
 * signature of an image, and is rejected.
 */
function makePlainFiles(count: number): SampleFile[] {
  return Array.from({ length: count }, () => ({
    name: 'plain.bin',
    bytes: Buffer.concat([Buffer.from('plain '), randomBytes(4090)]),
  }))
}

/** Measures what the libraries alone take for a file that is not an image. */
async function measureBareJobs(
  { queue, server }: Awaited<ReturnType<typeof startBareWorker>>,
  count: number,
): Promise<void> {
  const options = { atOnce: 16, isImage: false }
  await queue.process(makePlainFiles(count / 4), options)
  const before = server.cpuSeconds()
  await queue.process(makePlainFiles(count), options)
  const ms = ((server.cpuSeconds() - before) * 1000) / count
  process.stdout.write(`\nbare worker, ${count} plain files of 4 kB, ms of CPU each: ${ms.toFixed(2)}\n`)
}

/** Measures what a file that is not an image costs. */
async function measurePlainFiles({ name, system, uploader }: Version, count: number): Promise<void> {
  await uploader.process(makePlainFiles(count / 4), 16)
  const processes = { worker: system.worker.pid, API: system.api.pid, Redis: system.redisPid }
  const before = Object.values(processes).map(treeCpuSeconds)
  await uploader.process(makePlainFiles(count), 16)
  const costs = Object.entries(processes).map(([part, pid], index) => {
    const ms = ((treeCpuSeconds(pid) - (before[index] ?? 0)) * 1000) / count
    return `${part} ${ms.toFixed(2)}`
  })
  process.stdout.write(
    `\n${name}, ${count} plain files of 4 kB, ms of CPU each (goal of the worker: 2): ${costs.join(', ')}\n`,
  )
}

/** Measures the resident memory of the worker with its decoders: the peak with large files, and over many images. */
async function measureMemory(
  { name, system, uploader }: Version,
  corpus: SampleFile[],
  count: number,
): Promise<void> {
  let peakBytes = 0
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, treeBytes(system.worker.pid))
  }, sampleMs)
  await uploader.process([...corpus, ...corpus], 8)
  clearInterval(timer)
  const image = await sharp({
    create: {
      width: 900,
      height: 600,
      channels: 3,
      background: '#888',
      noise: { type: 'gaussian', mean: 128, sigma: 20 },
    },
  })
    .jpeg()
    .toBuffer()
  const steps = 5
  const sizes = [treeBytes(system.worker.pid)]
  for (let step = 0; step < steps; step++) {
    await uploader.process(
      Array.from({ length: count / steps }, () => ({ name: 'image.jpg', bytes: image })),
      8,
    )
    sizes.push(treeBytes(system.worker.pid))
  }
  const shown = sizes.map((bytes) => (bytes / MiB).toFixed(0)).join(', ')
  process.stdout.write(
    `${name}, resident MiB with its decoders: peak ${(peakBytes / MiB).toFixed(0)}; over ${count} images: ${shown}\n`,
  )
}
