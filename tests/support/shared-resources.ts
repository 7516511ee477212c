type Resource = { close(): Promise<unknown> }

const closers: (() => Promise<unknown>)[] = []

/**
 * Makes something that all test files of a process share, such as a browser: to start one for each file costs more than most tests.
 *
 * @param open starts it. It must not keep the event loop alive between two files: the suite would take it for something that
 *   a file has left open
 * @returns a function that starts it at its first call. It is closed after the last file of the process, see suite.ts
 */
export function shareInProcess<T extends Resource>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined
  return () => {
    if (opened) return opened
    const opening = open()
    opened = opening
    // The next file tries again. This one gets the error from the promise itself.
    opening.catch(() => {
      opened = undefined
    })
    closers.push(async () => {
      const resource = await opening.catch(() => undefined)
      await resource?.close()
    })
    return opening
  }
}

/** Closes what is shared, the last first: one may use another. */
export async function closeShared(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close()
}
