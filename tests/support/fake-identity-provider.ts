import { createHmac, generateKeyPairSync, type KeyObject, sign as signWith } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'

/** Signature algorithms of identity providers, with a key's type. This file uses no library that the API uses. */
const algorithms = {
  RS256: { createKeys: () => generateKeyPairSync('rsa', { modulusLength: 2048 }), hash: 'sha256' },
  PS256: { createKeys: () => generateKeyPairSync('rsa', { modulusLength: 2048 }), hash: 'sha256' },
  ES256: { createKeys: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), hash: 'sha256' },
  EdDSA: { createKeys: () => generateKeyPairSync('ed25519'), hash: undefined },
} as const
type Algorithm = keyof typeof algorithms

export type Claims = Record<string, unknown>
export type SigningKey = ReturnType<typeof createSigningKey>

/** Creates a key pair of an identity provider. */
export function createSigningKey(algorithm: Algorithm, kid: string) {
  const { createKeys, hash } = algorithms[algorithm]
  const { publicKey, privateKey } = createKeys()
  return {
    kid,
    publicKey,
    /** What the provider publishes. */
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
    /** Returns a JWT. @param header is added to `alg` and `kid`; undefined removes one */
    sign(claims: Claims, header: Claims = {}): string {
      const input = signingInput({ alg: algorithm, kid, typ: 'JWT', ...header }, claims)
      return `${input}.${signature(algorithm, hash, privateKey, input)}`
    },
  }
}

function signature(algorithm: Algorithm, hash: string | undefined, key: KeyObject, input: string): string {
  const data = Buffer.from(input)
  if (algorithm === 'PS256') {
    // RSA_PKCS1_PSS_PADDING, with a salt as long as the hash (RFC 7518, 3.5).
    return signWith(hash, data, { key, padding: 6, saltLength: 32 }).toString('base64url')
  }
  return signWith(hash, data, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
}

/** Returns a JWT with an HMAC signature. */
export function signWithSecret(secret: string | Buffer, claims: Claims, header: Claims = {}): string {
  const input = signingInput({ alg: 'HS256', typ: 'JWT', ...header }, claims)
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** Returns a JWT of the algorithm `none`, which has no signature. */
export function unsigned(claims: Claims, alg = 'none'): string {
  return `${signingInput({ alg, typ: 'JWT' }, claims)}.`
}

function signingInput(header: Claims, claims: Claims): string {
  return [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
}

/**
 * Starts an HTTP server that publishes a provider's keys, as a JWKS.
 *
 * @param keys published at first; `publish` replaces them
 */
export async function startJwksServer(keys: SigningKey[]) {
  let published = keys
  let fetches = 0
  let respond: ((response: ServerResponse) => void) | undefined
  const server = createServer((_request, response) => {
    fetches += 1
    if (respond) return respond(response)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ keys: published.map(({ jwk }) => jwk) }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The JWKS server has no port.')
  return {
    url: `http://127.0.0.1:${address.port}/.well-known/jwks.json`,
    /** How often the keys were requested. */
    fetches: () => fetches,
    publish(newKeys: SigningKey[]): void {
      published = newKeys
    },
    /** Answers otherwise from now on; undefined: with the keys. */
    respondWith(answer: ((response: ServerResponse) => void) | undefined): void {
      respond = answer
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
