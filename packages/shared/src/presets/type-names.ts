/**
 * Other names under which presets may list a detected type: names in wide use, and types that the detected one is a kind
 * of. It does not work the other way round: a preset with `image/apng` does not accept every PNG.
 */
const otherNames: Record<string, string[]> = {
  'image/apng': ['image/png'],
  'image/bmp': ['image/x-ms-bmp', 'image/x-bmp'],
  'image/heic': ['image/heif'],
  'image/x-icon': ['image/vnd.microsoft.icon'],
  'audio/aiff': ['audio/x-aiff'],
  'audio/flac': ['audio/x-flac'],
  'audio/matroska': ['audio/x-matroska'],
  'audio/mpeg': ['audio/mp3'],
  'audio/wav': ['audio/x-wav', 'audio/wave', 'audio/vnd.wave'],
  'audio/x-m4a': ['audio/mp4', 'audio/m4a'],
  'video/matroska': ['video/x-matroska'],
  'video/vnd.avi': ['video/x-msvideo', 'video/avi'],
  'video/x-m4v': ['video/mp4'],
  'application/gzip': ['application/x-gzip'],
  'application/json': ['text/plain'],
  'application/rtf': ['text/rtf'],
  'application/x-rar-compressed': ['application/vnd.rar'],
  'application/xml': ['text/xml'],
  'application/zip': ['application/x-zip-compressed'],
  'text/csv': ['text/plain'],
  'text/tab-separated-values': ['text/csv', 'text/plain'],
}

/** Returns all names under which a preset may list a detected type, the detected name first. */
export function namesOfType(detectedType: string): string[] {
  return [detectedType, ...(otherNames[detectedType] ?? [])]
}

/** Returns all types that may be detected of a file that is declared as a type: the type itself first. */
export function typesNamed(declaredType: string): string[] {
  const detected = Object.keys(otherNames).filter((name) => otherNames[name]?.includes(declaredType))
  return [declaredType, ...detected]
}
