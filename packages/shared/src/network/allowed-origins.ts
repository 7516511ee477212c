import { getDomain } from 'tldts'
import { splitList } from '../service/environment.ts'

/** What the items of `ALLOWED_ORIGINS` must be, for its sentence in a list of problems. */
export const originForms =
  'origins without a path, such as https://app.example.com or http://localhost:5173, or https://*.example.com for all names under a domain of your own'

/** `http://` or `https://`, and a host with an optional port. URL.parse would accept and drop much of the rest. */
const originForm = /^(https?:\/\/)(\*\.)?([^\s/\\?#@%*]+)$/i
/** One or more labels of a host name in front of the domain of a pattern. */
const labelsForm = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/

/** One item of `ALLOWED_ORIGINS` in the form in which browsers send it. */
type OriginPattern = {
  /** With `*.` in front of the host, if `isWildcard`. This is also a pattern of S3's CORS rules. */
  text: string
  isWildcard: boolean
  /** The origin; of a wildcard, that of its domain. */
  url: PageUrl
}

/** The parts of a URL that are compared. The types of URL in Node and in SST differ. */
type PageUrl = { protocol: string; hostname: string; origin: string }

/**
 * Where a page comes from. Same site: the browser sends cookies with its requests. That is so if scheme and registrable
 * domain are those of the API, such as https://app.example.com and https://media.example.com (HTML Standard, "same site").
 * Ports are ignored, so that all pages on localhost are of one site.
 */
export type Site = 'same-site' | 'other-site'

/** Whether a text may be an item of `ALLOWED_ORIGINS`. */
export function isOriginPattern(text: string): boolean {
  return parsePattern(text) !== undefined
}

/**
 * Reads `ALLOWED_ORIGINS` into the form in which browsers send origins: lower case, without a default port. Wrong items are
 * left out; `isOriginPattern` finds them.
 *
 * @returns patterns for S3's CORS rules as well: each has one `*` at most
 */
export function readOriginPatterns(list: string): string[] {
  return [...new Set(splitList(list).flatMap((item) => parsePattern(item)?.text ?? []))]
}

/**
 * Creates the check whether pages of an origin may call the API.
 *
 * @param options.allowedOrigins as `readOriginPatterns` returns them
 * @param options.publicOrigin the origin of the API
 */
export function createAllowedOrigins(options: { allowedOrigins: readonly string[]; publicOrigin: string }) {
  const own = new URL(options.publicOrigin)
  const patterns = options.allowedOrigins.flatMap((item) => parsePattern(item) ?? [])
  const exact = new Map<string, Site>()
  const wildcards: { before: string; after: string }[] = []
  for (const { text, isWildcard, url } of patterns) {
    const [before = '', after = ''] = text.split('*')
    if (isWildcard) wildcards.push({ before, after })
    else exact.set(text, siteOf(url, own))
  }

  function matchesWildcard(origin: string): boolean {
    return wildcards.some(
      ({ before, after }) =>
        origin.startsWith(before) &&
        origin.endsWith(after) &&
        labelsForm.test(origin.slice(before.length, -after.length)),
    )
  }

  return {
    /** Whether any origin is allowed. */
    isEmpty: patterns.length === 0,
    /** Whether pages of the API's own site are allowed, whose requests have cookies. */
    hasSameSite: patterns.some(({ url }) => siteOf(url, own) === 'same-site'),
    /**
     * @param origin as the browser sent it; compared exactly, since browsers send one form only
     * @returns undefined if the origin is not allowed
     */
    find(origin: string): Site | undefined {
      const site = exact.get(origin)
      if (site || !matchesWildcard(origin)) return site
      const url = URL.parse(origin)
      return url ? siteOf(url, own) : undefined
    },
  }
}

export type AllowedOrigins = ReturnType<typeof createAllowedOrigins>

function parsePattern(text: string): OriginPattern | undefined {
  const [, scheme = '', wildcard, host = ''] = originForm.exec(text) ?? []
  const url = host === '' ? null : URL.parse(scheme + host)
  // A name with a final dot is another origin for browsers, which nobody means.
  if (!url || url.hostname.endsWith('.') || url.hostname.includes('..')) return undefined
  if (wildcard === undefined) return { text: url.origin, isWildcard: false, url }
  // Anyone can have a name under a public suffix such as com, co.uk or github.io.
  if (url.protocol !== 'https:' || registrableDomain(url) === undefined) return undefined
  return { text: url.origin.replace('://', '://*.'), isWildcard: true, url }
}

function siteOf(page: PageUrl, own: PageUrl): Site {
  const isSame =
    page.protocol === own.protocol &&
    (registrableDomain(page) ?? page.hostname) === (registrableDomain(own) ?? own.hostname)
  return isSame ? 'same-site' : 'other-site'
}

/** Returns the registrable domain; undefined of an IP address, a public suffix, or a name without a dot. */
function registrableDomain({ hostname }: PageUrl): string | undefined {
  // Browsers use the private part of the list as well: pages of two users of github.io are not of one site.
  return getDomain(hostname, { allowPrivateDomains: true }) ?? undefined
}
