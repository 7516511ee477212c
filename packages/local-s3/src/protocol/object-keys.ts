/** Longest key that S3 accepts (bytes of UTF-8). */
export const maxKeyBytes = 1024

/** Encodes a key as S3 does in event messages and in URL-encoded listings: a space as `+`, slashes unchanged. */
export function urlEncodeKey(key: string): string {
  return encodeURIComponent(key)
    .replaceAll('%20', '+')
    .replaceAll('%2F', '/')
    .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
