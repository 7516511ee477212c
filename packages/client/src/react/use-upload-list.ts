import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Sender } from './upload-item.ts'
import { createUploadList, emptyView, type UploadListOptions, type UploadListView } from './upload-list.ts'

/** What the hooks return. The object is the same until something changes, and `start` always. */
export type Uploading<StartParameters extends unknown[]> = UploadListView & {
  /** Adds files to the list, for example `input.files`, and begins to send them. */
  readonly start: (files: Iterable<File>, ...parameters: StartParameters) => void
}

const emptyViewOnServer = () => emptyView

/**
 * Keeps a list of uploads for a component, as long as the component exists. On a server it is empty.
 *
 * @param openSender prepares what sends the files that are added at the same time; that of the latest render is used
 */
export function useUploadList<StartParameters extends unknown[]>(
  openSender: (files: readonly File[], ...parameters: StartParameters) => Sender,
  options: UploadListOptions,
): Uploading<StartParameters> {
  const [list] = useState(() => createUploadList(options))
  const view = useSyncExternalStore(list.subscribe, list.view, emptyViewOnServer)
  const latestOpenSender = useRef(openSender)
  useEffect(() => {
    latestOpenSender.current = openSender
    list.configure(options)
  })
  const start = useCallback(
    (files: Iterable<File>, ...parameters: StartParameters) => {
      // A copy: pages empty the list of an <input> afterwards.
      const added = [...files]
      if (added.length > 0) list.start(added, latestOpenSender.current(added, ...parameters))
    },
    [list],
  )
  return useMemo(() => ({ ...view, start }), [view, start])
}
