import { createClient } from '@millrace/client'

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>

/** Creates a client that keeps its cookie. `change` can replace responses of the API. */
export function cookieClient(
  origin: string,
  options: Omit<ClientOptions, 'origin' | 'fetch'> & {
    change?: (request: Request, response: Response) => Promise<Response>
  } = {},
) {
  const { change = async (_, same) => same, ...rest } = options
  let cookie = ''
  return createClient({
    origin,
    ...rest,
    fetch: async (request) => {
      if (cookie) request.headers.set('cookie', cookie)
      const response = await fetch(request)
      for (const set of response.headers.getSetCookie()) cookie = set.split(';')[0] ?? ''
      return change(request, response)
    },
  })
}
