import { createClient } from '@millrace/client'
import { createUploadHooks, useUpload } from '@millrace/client/react'
import { createUploads, type InputSchema, route } from '@millrace/client/server'
import { createElement } from 'react'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

// Without types of its own: `@types/react-dom` needs those of the DOM.
const { renderToString }: { renderToString(element: object): string } = await import(
  'react-dom/server' as string
)

const test = suite('React hooks on a server, and their types')

const albumInput: InputSchema<{ album: string }, { album: string }> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { album: string } }) },
}
const uploads = createUploads({
  origin: 'https://media.example',
  apiKey: 'mr_test',
  webhookSecret: [],
  routes: {
    avatar: route({ middleware: () => ({ user: 'ada' }) }),
    photo: route({ input: albumInput, middleware: () => ({ user: 'ada' }) }),
  },
})
const hooks = createUploadHooks<typeof uploads>({ endpoint: '/api/uploads' })

const client = createClient({ origin: 'https://media.example' })

function Page() {
  const { uploads, isSending, progress } = hooks.useUpload('avatar')
  const plain = useUpload(client, { onUnmount: 'abort' })
  return createElement('p', null, JSON.stringify([uploads, isSending, progress, plain.uploads]))
}

test('a component renders on a server without any upload and without a request', () => {
  assert.is(renderToString(createElement(Page)), '<p>[[],false,0,[]]</p>')
})

/** Is compiled only. */
function useRoutes(file: File) {
  const avatar = hooks.useUpload('avatar')
  const photo = hooks.useUpload('photo')
  // @ts-expect-error the backend has no such route
  hooks.useUpload('video')
  return {
    startAvatar: () => avatar.start([file]),
    startPhoto: () => photo.start([file], { input: { album: 'summer' } }),
    // @ts-expect-error the route needs input
    startWithout: () => photo.start([file]),
    // @ts-expect-error the input has another type
    startWrong: () => photo.start([file], { input: { album: 1 } }),
  }
}

test('the hook knows the routes of the backend and their input by their type', () => {
  assert.type(useRoutes, 'function')
})

test.run()
