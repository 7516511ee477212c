import { createClient } from '@millrace/client'

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>

/** The cookie of a session, which several clients can share, as pages of one browser do. */
export type CookieJar = { cookie: string }

/** Creates a client that keeps its cookie. `answer` can respond instead of the API, `change` can replace its responses. */
export function cookieClient(
  origin: string,
  options: Omit<ClientOptions, 'origin' | 'fetch'> & {
    jar?: CookieJar
    answer?: (request: Request) => Promise<Response | undefined>
    change?: (request: Request, response: Response) => Promise<Response>
  } = {},
) {
  const { change = async (_, same) => same, answer, jar = { cookie: '' }, ...rest } = options
  return createClient({
    origin,
    ...rest,
    fetch: async (request) => {
      if (jar.cookie) request.headers.set('cookie', jar.cookie)
      const response = (await answer?.(request)) ?? (await fetch(request))
      for (const set of response.headers.getSetCookie()) jar.cookie = set.split(';')[0] ?? ''
      return change(request, response)
    },
  })
}
