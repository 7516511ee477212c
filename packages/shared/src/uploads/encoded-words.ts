/** `=?charset?encoding?text?=`, and the spaces between two of them (RFC 2047, 2 and 6.2). A language may follow the charset. */
const wordPattern =
  /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([BQ])\?([^?\s]*)\?=(?:\s+(?==\?[^?\s]+\?[BQ]\?[^?\s]*\?=))?/gi
const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * Decodes encoded words in a text (RFC 2047). They are made for e-mail, but some servers and HTTP clients send
 * them as filenames too.
 *
 * @returns the text, with words as they are if their charset is unknown or their text is not valid
 */
export function decodeWords(text: string): string {
  let decoded = ''
  let end = 0
  /** Bytes of the words before, in one charset: a character may be divided between two words. */
  let open: { charset: string; bytes: Buffer; source: string } | undefined
  const close = () => {
    if (open) decoded += decodeBytes(open.bytes, open.charset) ?? open.source
    open = undefined
  }
  for (const { 0: source, 1: name = '', 2: encoding = '', 3: word = '', index } of text.matchAll(
    wordPattern,
  )) {
    const between = text.slice(end, index)
    if (between !== '') close()
    decoded += between
    end = index + source.length
    const charset = name.toLowerCase()
    const bytes = bytesOf(encoding.toUpperCase(), word)
    if (bytes && open?.charset === charset) {
      open = { charset, bytes: Buffer.concat([open.bytes, bytes]), source: open.source + source }
      continue
    }
    close()
    if (bytes) open = { charset, bytes, source }
    else decoded += source
  }
  close()
  return decoded + text.slice(end)
}

function bytesOf(encoding: string, word: string): Buffer | undefined {
  if (encoding === 'B') return base64Pattern.test(word) ? Buffer.from(word, 'base64') : undefined
  const bytes = word
    .replaceAll('_', ' ')
    .replaceAll(/=([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1')
}

function decodeBytes(bytes: Buffer, charset: string): string | undefined {
  try {
    return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // The charset is unknown, or the bytes are not of this charset.
    return undefined
  }
}
