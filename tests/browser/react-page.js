// A page with the hooks of the client's React half, in strict mode. `react` is React 18 or 19, as the bundle's aliases say.
import { createClient } from '@millrace/client'
import { createUploadHooks, useUpload } from '@millrace/client/react'
import { createElement, StrictMode, useEffect, version } from 'react'
import { createRoot } from 'react-dom/client'

export { createClient }

const routes = createUploadHooks({ endpoint: '/api/uploads' })

function Shown({ uploading, report }) {
  useEffect(() => report(uploading), [uploading, report])
  return createElement('p', null, `${uploading.uploads.map(({ state }) => state)}`)
}

function RouteUploads({ options, report }) {
  return createElement(Shown, { uploading: routes.useUpload('photo', options), report })
}

function ClientUploads({ client, options, report }) {
  return createElement(Shown, { uploading: useUpload(client, options), report })
}

/**
 * Mounts a component that uses a hook.
 *
 * @param options.millrace Millrace's origin and a token, for the hook of a plain client; otherwise that of routes is used
 * @param options.onUnmount of the hook
 * @returns `current()`: what the hook has returned last; `starts()`: how many functions `start` there were; `until`: waits
 *   until a condition holds
 */
export function mount({ millrace, onUnmount }) {
  const client = millrace && createClient({ origin: millrace.origin, getToken: () => millrace.token })
  const finished = []
  const starts = new Set()
  const waiting = new Set()
  let current
  const report = (uploading) => {
    current = uploading
    starts.add(uploading.start)
    for (const check of waiting) check()
  }
  const root = createRoot(document.body.appendChild(document.createElement('div')))
  const options = { onUnmount, onFinished: ({ id, state }) => finished.push({ id, state }) }
  const component = createElement(client ? ClientUploads : RouteUploads, { client, options, report })
  root.render(createElement(StrictMode, null, component))
  return {
    ...{ version, finished },
    current: () => current,
    starts: () => starts.size,
    unmount: () => root.unmount(),
    until: (holds) =>
      new Promise((resolve) => {
        const check = () => {
          if (!current || !holds(current.uploads)) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
  }
}
