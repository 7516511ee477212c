/** Larger pictures are not decoded for a preview, in bytes. */
const maxBytes = 40e6
/** Pixels of a preview's side: twice its size on the page, for dense screens. */
const side = 72
/** Previews that are kept: some 20 kB each. */
const maxKept = 300

/** Creates small pictures of local files, one at a time, so that they take little from sending. */
export function createPreviews({ bytesOf }: { bytesOf: (key: string) => File | undefined }) {
  const kept = new Map<string, ImageBitmap>()
  let last: Promise<unknown> = Promise.resolve()

  async function decode(key: string, signal: AbortSignal): Promise<ImageBitmap | undefined> {
    const file = bytesOf(key)
    if (signal.aborted || !file?.type.startsWith('image/') || file.size > maxBytes) return undefined
    try {
      // With one side given, the picture keeps its proportions.
      const bitmap = await createImageBitmap(file, { resizeHeight: side, resizeQuality: 'medium' })
      const [oldest] = kept.keys()
      if (kept.size >= maxKept && oldest !== undefined) kept.delete(oldest)
      kept.set(key, bitmap)
      return bitmap
    } catch {
      // A format that the browser cannot decode.
      return undefined
    }
  }

  return {
    /** Draws a file's middle. @returns whether there is a picture */
    async draw(key: string, canvas: HTMLCanvasElement, signal: AbortSignal): Promise<boolean> {
      const decoded = last.then(() => kept.get(key) ?? decode(key, signal))
      last = decoded
      const bitmap = kept.get(key) ?? (await decoded)
      if (!bitmap || signal.aborted) return false
      canvas.width = side
      canvas.height = side
      const scale = side / Math.min(bitmap.width, bitmap.height)
      const [width, height] = [bitmap.width * scale, bitmap.height * scale]
      canvas.getContext('2d')?.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height)
      return true
    },
  }
}

export type Previews = ReturnType<typeof createPreviews>
