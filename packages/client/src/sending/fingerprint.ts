/** Bytes at the beginning and at the end of a file that its fingerprint depends on. */
const sampleBytes = 64 * 1024

/**
 * Returns a name by which a file is recognized when it is chosen again: 64 hex digits. It depends on the file's name, size,
 * type, time of change, and its first and last 64 KiB, but not on the rest: reading all of a large file takes minutes.
 *
 * @param scope what else the fingerprint depends on, such as the API's origin
 * @returns undefined if the page cannot hash, which needs a secure context, or cannot read the file
 */
export async function fingerprintOf(file: Blob, scope: readonly string[]): Promise<string | undefined> {
  // Missing in pages without a secure context, although its type says otherwise.
  const subtle: typeof crypto.subtle | undefined = crypto.subtle
  if (!subtle) return undefined
  const name = 'name' in file ? String(file.name) : ''
  const lastModified = 'lastModified' in file ? Number(file.lastModified) : 0
  const fields = JSON.stringify([...scope, name, file.size, file.type, lastModified])
  try {
    const sample = new Blob([fields, file.slice(0, sampleBytes), file.slice(-sampleBytes)])
    const digest = await subtle.digest('SHA-256', await sample.arrayBuffer())
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  } catch {
    // Sending the file will tell why.
    return undefined
  }
}
