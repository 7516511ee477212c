/**
 * The form of messages between the worker and a decoder process: the length of a JSON text (4 bytes), the length of a
 * binary body (6 bytes), the text, the body. Images and variants are bodies, so they are neither escaped nor copied into
 * a text.
 */
export const frameHeadBytes = 10

/** Limits of one frame from a decoder, in bytes: a decoder that was taken over must not fill the worker's memory. */
export const maxFrameTextBytes = 1024 ** 2
export const maxFrameBodyBytes = 1024 ** 3

/** One message and its body. */
export type Frame = { message: unknown; body: Buffer }

/** Returns the lengths of a frame's text and body in bytes. @param head its first `frameHeadBytes` bytes */
export function readFrameHead(head: Buffer): { textBytes: number; bodyBytes: number } {
  return { textBytes: head.readUInt32BE(0), bodyBytes: head.readUIntBE(4, 6) }
}

/** Returns head and text of a frame. The body is written after it, as it is. */
export function frameStart(message: unknown, bodyBytes = 0): Buffer {
  const text = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(frameHeadBytes)
  head.writeUInt32BE(text.length, 0)
  head.writeUIntBE(bodyBytes, 4, 6)
  return Buffer.concat([head, text])
}

/**
 * Collects frames from the chunks of a stream.
 *
 * @param onFrame is called with each complete frame
 * @returns a function for each chunk. It throws Error if a frame is over the limits or has no valid JSON
 */
export function createFrameReader(onFrame: (frame: Frame) => void) {
  let part = newPart('head', frameHeadBytes)
  let message: unknown
  let bodyBytes = 0

  function complete(): void {
    switch (part.kind) {
      case 'head': {
        const lengths = readFrameHead(part.bytes)
        if (lengths.textBytes > maxFrameTextBytes || lengths.bodyBytes > maxFrameBodyBytes) {
          throw new Error(`A frame has ${lengths.textBytes} and ${lengths.bodyBytes} bytes.`)
        }
        bodyBytes = lengths.bodyBytes
        part = newPart('text', lengths.textBytes)
        return
      }
      case 'text':
        message = JSON.parse(part.bytes.toString())
        part = newPart('body', bodyBytes)
        return
      case 'body': {
        const body = part.bytes
        part = newPart('head', frameHeadBytes)
        onFrame({ message, body })
      }
    }
  }

  return (chunk: Buffer): void => {
    let at = 0
    while (at < chunk.length || part.filled === part.bytes.length) {
      const copied = chunk.copy(part.bytes, part.filled, at)
      part.filled += copied
      at += copied
      if (part.filled === part.bytes.length) complete()
      else return
    }
  }
}

function newPart(kind: 'head' | 'text' | 'body', size: number) {
  return { kind, bytes: Buffer.allocUnsafeSlow(size), filled: 0 }
}
