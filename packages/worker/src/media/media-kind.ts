/**
 * The types of video and audio whose metadata is read, as `types` detects them. Others, such as AVI, are stored without
 * being examined.
 *
 * HLS is not among them: a playlist names other files, and those are not part of the upload.
 */
const mediaKinds: ReadonlySet<string> = new Set([
  'video/mp4',
  'video/x-m4v',
  'video/quicktime',
  'video/3gpp',
  'video/3gpp2',
  'video/webm',
  'video/matroska',
  'video/x-matroska',
  'video/mp2t',
  'audio/3gpp',
  'audio/3gpp2',
  'audio/mp4',
  'audio/x-m4a',
  'audio/webm',
  'audio/matroska',
  'audio/x-matroska',
  'audio/mpeg',
  'audio/aac',
  'audio/flac',
  'audio/x-flac',
  'audio/wav',
  'audio/ogg',
  'audio/opus',
  'application/ogg',
])

/** Whether a file of this type is examined as video or audio. A parameter, such as `codecs`, is ignored. */
export function isMediaKind(mediaType: string | undefined): mediaType is string {
  return mediaType !== undefined && mediaKinds.has(mediaType.replace(/;.*$/, '').trim())
}
