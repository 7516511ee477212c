import { openRequestBody } from '../bodies/request-body.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import { childElements, childText, parseXmlBody, type XmlElement } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'

const maxRules = 100
const supportedMethods = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD']

type CorsRule = {
  id: string | undefined
  origins: string[]
  methods: string[]
  headers: string[]
  exposeHeaders: string[]
  maxAgeSeconds: number | undefined
}

/** Whether a text matches a pattern with at most one `*`. */
function matches(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === text
  const [before, after] = [pattern.slice(0, star), pattern.slice(star + 1)]
  return text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after)
}

function matchesRule(rule: CorsRule, origin: string, method: string, headers: readonly string[]): boolean {
  return (
    rule.origins.some((pattern) => matches(pattern, origin)) &&
    rule.methods.includes(method) &&
    headers.every((header) => rule.headers.some((pattern) => matches(pattern.toLowerCase(), header)))
  )
}

function ruleHeaders(rule: CorsRule, origin: string, requested: readonly string[]): Record<string, string> {
  const anyOrigin = rule.origins.includes('*')
  return {
    'access-control-allow-origin': anyOrigin ? '*' : origin,
    'access-control-allow-methods': rule.methods.join(', '),
    ...(requested.length > 0 ? { 'access-control-allow-headers': requested.join(', ') } : {}),
    ...(rule.exposeHeaders.length > 0
      ? { 'access-control-expose-headers': rule.exposeHeaders.join(', ') }
      : {}),
    ...(rule.maxAgeSeconds === undefined ? {} : { 'access-control-max-age': String(rule.maxAgeSeconds) }),
    ...(anyOrigin ? {} : { 'access-control-allow-credentials': 'true' }),
    vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
  }
}

/** GetBucketCors, PutBucketCors, DeleteBucketCors, preflight requests, and CORS headers of other responses. */
export function createBucketCors(deps: { buckets: BucketTable; bodyTimeoutMs: number }) {
  const { buckets, bodyTimeoutMs } = deps

  function rulesOf(bucket: string): CorsRule[] {
    const json = buckets.find(bucket)?.cors
    return json === undefined ? [] : JSON.parse(json)
  }

  return {
    /** Sets the CORS headers of a response to a request other than a preflight, success or error. */
    setResponseHeaders(exchange: S3Exchange) {
      const { req, method, bucket } = exchange
      const { origin } = req.headers
      if (origin === undefined) return
      const rule = rulesOf(bucket).find((candidate) => matchesRule(candidate, origin, method, []))
      if (rule === undefined) return
      exchange.setHeaders(ruleHeaders(rule, origin, []))
    },

    /**
     * Responds to a preflight request. It has no signature.
     * @throws S3Error BadRequest, NoSuchBucket, AccessForbidden
     */
    preflight(exchange: S3Exchange) {
      const { headers } = exchange
      const { origin } = headers
      const method = headers['access-control-request-method']
      if (origin === undefined) {
        throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.')
      }
      // The response's headers contain both.
      for (const echoed of [origin, headers['access-control-request-headers'] ?? '']) {
        if (!/^[\u0020-\u007e]*$/.test(echoed)) throw new S3Error('BadRequest')
      }
      if (method === undefined || !supportedMethods.includes(method)) {
        throw new S3Error('BadRequest', `Invalid Access-Control-Request-Method: ${method ?? 'null'}`)
      }
      const requested = (headers['access-control-request-headers'] ?? '')
        .split(',')
        .map((name) => name.trim().toLowerCase())
        .filter((name) => name !== '')
      if (buckets.require(exchange.bucket).cors === undefined) throw new S3Error('AccessForbidden')
      const rule = rulesOf(exchange.bucket).find((candidate) =>
        matchesRule(candidate, origin, method, requested),
      )
      if (rule === undefined) {
        throw new S3Error(
          'AccessForbidden',
          "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
          { Method: method, ResourceType: exchange.key === '' ? 'BUCKET' : 'OBJECT' },
        )
      }
      exchange.send(200, ruleHeaders(rule, origin, requested))
    },

    async getBucketCors({ exchange }: VerifiedRequest) {
      const { cors } = buckets.require(exchange.bucket)
      if (cors === undefined) {
        throw new S3Error('NoSuchCORSConfiguration', undefined, { BucketName: exchange.bucket })
      }
      exchange.sendXml(200, 'CORSConfiguration', {
        CORSRule: rulesOf(exchange.bucket).map((rule) => ({
          ID: rule.id,
          AllowedOrigin: rule.origins,
          AllowedMethod: rule.methods,
          AllowedHeader: rule.headers,
          ExposeHeader: rule.exposeHeaders,
          MaxAgeSeconds: rule.maxAgeSeconds,
        })),
      })
    },

    async putBucketCors({ exchange, signature }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      body.requireIntegrity()
      const rules = childElements(parseXmlBody(await body.xml(), 'CORSConfiguration'), 'CORSRule').map(
        parseRule,
      )
      if (rules.length === 0 || rules.length > maxRules) throw new S3Error('MalformedXML')
      buckets.configure(exchange.bucket, 'cors', JSON.stringify(rules))
      exchange.send(200)
    },

    async deleteBucketCors({ exchange }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      buckets.configure(exchange.bucket, 'cors', undefined)
      exchange.send(204)
    },
  }
}

function parseRule(element: XmlElement): CorsRule {
  const texts = (name: string) => childElements(element, name).map((child) => child.text)
  const maxAge = childText(element, 'MaxAgeSeconds')
  const rule = {
    id: childText(element, 'ID'),
    origins: texts('AllowedOrigin'),
    methods: texts('AllowedMethod'),
    headers: texts('AllowedHeader'),
    exposeHeaders: texts('ExposeHeader'),
    maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge),
  }
  if (rule.origins.length === 0 || rule.methods.length === 0) throw new S3Error('MalformedXML')
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) throw new S3Error('MalformedXML')
  for (const method of rule.methods) {
    if (!supportedMethods.includes(method)) {
      throw new S3Error(
        'InvalidRequest',
        `Found unsupported HTTP method in CORS config. Unsupported method is ${method}`,
      )
    }
  }
  for (const [kind, patterns] of [
    ['AllowedOrigin', rule.origins],
    ['AllowedHeader', rule.headers],
  ] as const) {
    for (const pattern of patterns) {
      if (pattern.split('*').length > 2) {
        throw new S3Error('InvalidRequest', `${kind} "${pattern}" can not have more than one wildcard.`)
      }
    }
  }
  for (const header of rule.exposeHeaders) {
    if (header.includes('*')) {
      throw new S3Error(
        'InvalidRequest',
        `ExposeHeader "${header}" contains wildcard. We currently do not support wildcard for ExposeHeader.`,
      )
    }
    // The value becomes part of a response header.
    if (!/^[!#$%&'+.^_`|~0-9A-Za-z-]+$/.test(header)) throw new S3Error('MalformedXML')
  }
  return rule
}
