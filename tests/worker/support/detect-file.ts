import { type DetectedType, detectType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'

/** What a detection found, and the ranges that it read, each as its start and end. */
export type Detection = { found: DetectedType | undefined; ranges: [number, number][] }

/** Detects a file's type with only its head in memory. Further parts are counted. */
export async function detectFile(bytes: Buffer): Promise<Detection> {
  const ranges: [number, number][] = []
  const found = await detectType({
    size: bytes.length,
    head: bytes.subarray(0, typeHeadBytes),
    readRange: async (start, end) => {
      ranges.push([start, end])
      return bytes.subarray(start, end)
    },
  })
  return { found, ranges }
}

/** Returns only the media type. */
export async function typeOf(bytes: Buffer | string): Promise<string | undefined> {
  return (await detectFile(Buffer.from(bytes))).found?.mediaType
}
