import { renameSync, writeFileSync, writeSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'

declare global {
  var fake: { does: 'picture' | 'hang' | 'spin' | 'fail' | 'flood'; report: string }
}

/** The program of `makeFakeFfmpeg`. */
const { does, report } = globalThis.fake
const argumentsGiven = process.argv.slice(2)
const start = { pid: process.pid, arguments: argumentsGiven, environment: Object.keys(process.env) }

function record(seen: object): void {
  writeFileSync(`${report}.part`, JSON.stringify(seen))
  renameSync(`${report}.part`, report)
}

const given = await buffer(process.stdin)
record({ ...start, ...(does === 'picture' && (await describe(given))) })
if (does === 'hang') await new Promise(() => setInterval(() => {}, 1000))
if (does === 'spin') for (;;);
if (does === 'fail') process.exit(1)
const filters = argumentsGiven[argumentsGiven.indexOf('-vf') + 1] ?? ''
const [, ...sides] = /^scale=(\d+):(\d+):/.exec(filters) ?? []
const [width = 0, height = 0] = filters.includes('transpose')
  ? sides.map(Number).reverse()
  : sides.map(Number)
const rowOf = (left: number[], right: number[]) =>
  Buffer.from(Array.from({ length: width }, (_, x) => (x < width / 2 ? left : right)).flat())
const top = rowOf([220, 20, 20], [20, 220, 20])
const bottom = rowOf([20, 20, 220], [220, 220, 20])
const rows = Array.from({ length: height }, (_, y) => (y < height / 2 ? top : bottom))
const picture = Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), ...rows])
for (let copies = does === 'flood' ? 20 : 1; copies > 0; copies--) writeAll(picture)

/** Describes what ffmpeg gets. Only one of its kinds loads the library. */
async function describe(bytes: Buffer) {
  const { BufferSource, Input, MATROSKA, MP4, WEBM } = await import('mediabunny')
  const input = new Input({ formats: [MATROSKA, WEBM, MP4], source: new BufferSource(bytes) })
  const tracks = await input.getTracks()
  return {
    format: (await input.getFormat()).name,
    codecs: await Promise.all(tracks.map(async (track) => String(await track.getCodec()))),
    packets: (await tracks[0]?.computePacketStats())?.packetCount ?? 0,
  }
}

/** Blocks until the reader took all. Standard output is a socket here, which may be full. */
function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(process.stdout.fd, bytes, at)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
    }
  }
}
