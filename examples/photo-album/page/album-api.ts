export type Photo = { id: string; title: string; width: number; height: number }

/** Sends a request to the album's backend. @throws Error with its message */
async function call<Result>(method: string, path: string, body?: object): Promise<Result> {
  const response = await fetch(path, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  const text = await response.text()
  const result = text === '' ? undefined : JSON.parse(text)
  if (!response.ok) throw new Error(result?.message ?? `The album answered with status ${response.status}.`)
  return result
}

export const readUser = () => call<{ name: string | null }>('GET', '/api/user')
export const signIn = (name: string) => call<{ name: string }>('PUT', '/api/user', { name })
export const signOut = () => call<{ name: null }>('DELETE', '/api/user')
export const listPhotos = () => call<Photo[]>('GET', '/api/photos')
export const deletePhoto = (id: string) => call<undefined>('DELETE', `/api/photos/${id}`)

/** The address of a photo in one of its sizes. The backend checks whose it is, and redirects to S3. */
export const photoUrl = ({ id }: Photo, variant: 'w320' | 'w1920') => `/photos/${id}/${variant}`
