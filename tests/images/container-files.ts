import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { docker } from './container-engine.ts'

/**
 * Searches all files of an image for a text, also for its name in paths: in the archive that the engine exports.
 *
 * @returns the number of bytes that were searched, and whether the text is among them
 */
export async function searchImage(image: string, text: string): Promise<{ bytes: number; found: boolean }> {
  const container = await docker(['create', image])
  try {
    const archive = spawn('docker', ['export', container], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(archive, 'exit')
    let end: Buffer = Buffer.alloc(0)
    let bytes = 0
    let found = false
    for await (const chunk of archive.stdout) {
      const part: Buffer = Buffer.concat([end, chunk])
      found ||= part.includes(text)
      bytes += chunk.length
      // The text may lie across two chunks.
      end = part.subarray(-text.length)
    }
    const [code]: unknown[] = await exited
    if (code !== 0) throw new Error(`docker export ended with ${code}.`)
    return { bytes, found }
  } finally {
    await docker(['rm', '--volumes', container])
  }
}
