import { createClient } from '@millrace/client'

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>

/** The cookie of a session, which several clients can share, as pages of one browser do. */
export type CookieJar = { cookie: string }

/** Creates a client that keeps its cookie. `change` can replace responses of the API. */
export function cookieClient(
  origin: string,
  options: Omit<ClientOptions, 'origin' | 'fetch'> & {
    jar?: CookieJar
    change?: (request: Request, response: Response) => Promise<Response>
  } = {},
) {
  const { change = async (_, same) => same, jar = { cookie: '' }, ...rest } = options
  return createClient({
    origin,
    ...rest,
    fetch: async (request) => {
      if (jar.cookie) request.headers.set('cookie', jar.cookie)
      const response = await fetch(request)
      for (const set of response.headers.getSetCookie()) jar.cookie = set.split(';')[0] ?? ''
      return change(request, response)
    },
  })
}
