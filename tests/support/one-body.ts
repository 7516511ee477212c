/**
 * Options of `fetch` for requests with large bodies. With any others it copies each chunk of the body, for a redirect (Fetch
 * Standard, "HTTP-network-or-cache fetch", step 8: a request is cloned unless it has no window and refuses redirects).
 */
export const oneBody = { window: null, redirect: 'error' } as const
