import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { JSHandle, Page } from 'playwright-core'

/** What becomes of a file that a page sends with tus-js-client. */
export type TusOutcome = { url?: string; error?: string }

/** Reads the script of tus-js-client, which makes the global object `tus`. */
export function readTusScript(): Promise<string> {
  return readFile(createRequire(import.meta.url).resolve('tus-js-client/dist/tus.min.js'), 'utf8')
}

/**
 * Sends a file of zeros with blocks of docs/uppy.md.
 *
 * @param blocks the blocks, in order; the first makes the constant `upload`
 * @param scope the page's own values
 * @param scope.millrace the API's origin
 * @param scope.options of tus-js-client, in addition
 * @returns a handle of the outcome, as a promise
 */
export async function sendWithTus(
  page: Page,
  blocks: string[],
  scope: { millrace: string; token: string; name: string; size: number; options?: object },
): Promise<JSHandle<{ outcome: Promise<TusOutcome> }>> {
  // As an expression, since the content security policy of Millrace's own pages forbids `new Function`.
  return page.evaluateHandle<{ outcome: Promise<TusOutcome> }>(`(async () => {
    const { millrace, token, name, size, options } = ${JSON.stringify(scope)}
    const getToken = async () => token
    const zeros = new Blob([new Uint8Array(size)])
    const file = new File([zeros], name, { type: 'application/x-zeros', lastModified: 0 })
    Object.assign(tus.defaultOptions, options)
    ${blocks.join('\n')}
    return {
      outcome: new Promise((resolve) => {
        upload.options.onSuccess = () => resolve({ url: upload.url })
        upload.options.onError = (error) => resolve({ error: String(error) })
      }),
    }
  })()`)
}
