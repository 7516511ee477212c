import type { JSHandle, Page } from 'playwright-core'
import { bundleForBrowser } from '../../support/browser-bundle.ts'
import type { Credential, Place } from './sending-pages.ts'

/** The part of Uppy that the tests use. Its own types need the DOM's, which the tests are checked without. */
export type Uppy = {
  once(event: 'upload-success', listener: (file: UppyFile, response: UppyResponse) => void): void
  once(event: 'upload-error', listener: (file: UppyFile, error: Error) => void): void
  getPlugin(id: string): { setOptions(options: object): void } | undefined
  use(plugin: unknown, options?: object): Uppy
  addFile(file: { name: string; type: string; data: Blob; meta: object }): string
  removeFile(id: string): void
  getFiles(): UppyFile[]
  upload(): Promise<UppyResult>
  retryAll(): Promise<UppyResult>
  cancelAll(): void
  getState(): { info: { message: string }[] }
}
export type UppyFile = {
  id: string
  name: string
  data?: Blob
  uploadURL?: string
  response?: UppyResponse
  error?: string
}
export type UppyResponse = { body?: { key?: string; id?: string }; uploadURL?: string }
export type UppyResult = { failed: UppyFile[]; successful: UppyFile[] }

/** The versions that docs/uppy.md describes. Each has a package under examples/. */
export const uppyVersions = [4, 5, 6] as const
export type UppyVersion = (typeof uppyVersions)[number]

/** The global object with the modules of a version. */
const modulesOf = (version: UppyVersion) => `uppy${version}`

/** Bundles versions of Uppy into one script. */
export async function bundleUppy(versions: readonly UppyVersion[]): Promise<string> {
  const scripts = versions.map((version) =>
    bundleForBrowser(`examples/uppy-${version}/uppy.js`, { globalName: modulesOf(version) }),
  )
  return (await Promise.all(scripts)).join('\n')
}

/**
 * Runs blocks of docs/uppy.md in a page.
 *
 * @param blocks the blocks, in order; the first makes the constant `uppy`
 * @param scope the page's own values
 * @param scope.millrace the API's origin
 * @returns a handle of `uppy`
 */
export async function runUppyBlocks(
  page: Page,
  version: UppyVersion,
  blocks: string[],
  { millrace, token }: { millrace: string; token: string },
): Promise<JSHandle<Uppy>> {
  const code = blocks.join('\n').replace(/^const millrace = .*$/m, '')
  // As an expression, since the content security policy of Millrace's own pages forbids `new Function`.
  return page.evaluateHandle<Uppy>(`(async () => {
    const { Uppy, AwsS3, Dashboard, GoldenRetriever, Tus, XHRUpload } = ${modulesOf(version)}
    const millrace = ${JSON.stringify(millrace)}
    const getToken = async () => ${JSON.stringify(token)}
    ${code}
    return uppy
  })()`)
}

/** Adds a file of zeros. */
export function addZeros(
  uppy: JSHandle<Uppy>,
  file: { name: string; size: number; meta?: Record<string, string> },
): Promise<string> {
  return uppy.evaluate((uppy, { name, size, meta = {} }) => {
    const data = new Blob([new Uint8Array(size)])
    return uppy.addFile({ name, type: 'application/x-zeros', data, meta })
  }, file)
}

/** Returns the major versions of Uppy's core and plugins in a page: one, if each has come with its own core. */
export function majorsOf(page: Page, version: UppyVersion): Promise<number[]> {
  return page.evaluate<number[]>(
    `[...new Set(Object.values(${modulesOf(version)}).map(({ VERSION }) => Number.parseInt(VERSION)))]`,
  )
}

/** Returns the blocks of docs/uppy.md that add `@uppy/aws-s3`. */
export function awsS3Blocks(
  block: (title: string) => string,
  version: UppyVersion,
  place: Place,
  credential: Credential,
): string {
  const plugin = () => {
    if (version !== 6) {
      return block(`@uppy/aws-s3 4.x and 5.x, ${credential === 'a cookie' ? 'cookie' : 'token'}`)
    }
    const signed = block('@uppy/aws-s3 6.x, token')
    if (credential === 'a token') return signed
    if (place === 'the same origin') return block("@uppy/aws-s3 6.x on Millrace's own origin, cookie")
    return signed.replace(/^.*\/\/ with a cookie instead: (.*)$/m, '$1,')
  }
  return `${block('@uppy/aws-s3, size')}\n${plugin()}`
}

/** Returns an upload's id from the response that Uppy has of a file. */
export function uploadIdOf({ body, uploadURL }: UppyResponse = {}): string {
  const { key, id } = body ?? {}
  return id ?? (key ?? uploadURL ?? '').split('/').at(-1) ?? ''
}
