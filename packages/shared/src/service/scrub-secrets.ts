/** Replaces a secret. */
const scrubbed = '[scrubbed]'

/**
 * Patterns of secrets in text, including text inside JSON. No pattern matches past a quote or a backslash, so a JSON line
 * stays valid.
 */
const secretForms: [form: RegExp, replacement: string][] = [
  // RFC 3986 userinfo: redis://user:password@host
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#@"'\\<>]+@/gi, `$1${scrubbed}@`],
  // Signed URLs carry their signature in the query. No failure needs a URL's query to be understood.
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s?"'\\<>]+)\?[^\s"'\\<>]+/gi, `$1?${scrubbed}`],
  // Signature Version 4, as query parameters or as form fields, without the URL around them
  [
    /(X-Amz-(?:Signature|Credential|Security-Token))((?:\\?["'])?\s*[=:,]\s*(?:\\?["'])?)[^\s&,;"'\\}]+/gi,
    `$1$2${scrubbed}`,
  ],
  // The same in a header
  [/\bAWS4-HMAC-SHA256\b[^"'\\\n]*/g, `AWS4-HMAC-SHA256 ${scrubbed}`],
  // RFC 9110 credentials
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${scrubbed}`],
  // Headers written out: "cookie: a=b; c=d", also as JSON
  [
    /\b((?:set-)?cookie|(?:proxy-)?authorization|x-api-key|x-amz-meta-filename)((?:\\?["'])?\s*[:=]\s*(?:\\?["'])?)[^"'\\\n]+/gi,
    `$1$2${scrubbed}`,
  ],
  // V8 quotes invalid JSON input: Unexpected token 'x', "{"filename"... is not valid JSON
  [/(in JSON|Unexpected [^,\n]{0,40}), (?:\.{3})?\\?".{0,80}?(?= is not valid JSON)/gs, `$1, ${scrubbed}`],
]

/** A cheap pre-check. Most log lines contain nothing that could be a secret. */
const suspicious = /:\/\/|x-amz-|aws4-|bearer|basic|cookie|authorization|x-api-key|not valid JSON/i

/**
 * Removes secrets from a text: userinfo and queries of URLs, AWS signatures and credentials, bearer tokens, cookies, and
 * the input that a JSON parser quotes.
 *
 * @param text a message, a stack, or a whole line of a JSON log
 * @returns the text with `[scrubbed]` in place of each secret
 */
export function scrubSecrets(text: string): string {
  if (!suspicious.test(text)) return text
  return secretForms.reduce((rest, [form, replacement]) => rest.replace(form, replacement), text)
}
