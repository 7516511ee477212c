/**
 * Types that browsers decode and never execute: raster images, video, audio, and PDF, which browsers open in
 * a sandboxed viewer. XML types, SVG above all, are not in the list: they are documents that may contain
 * scripts, even if the type begins with `image/`.
 */
const inertType = /^(?:(?:image|video|audio)\/(?!svg)[a-z0-9.-]+|application\/pdf)$/

/**
 * Returns the content type of a downloaded original. HTML, XHTML, XML, SVG, scripts and unknown types become
 * `application/octet-stream`, so that no browser shows them as a page of the bucket's origin.
 *
 * @param detectedType the type that was detected from the bytes
 */
export function servedType(detectedType: string | undefined): string {
  return detectedType !== undefined && inertType.test(detectedType)
    ? detectedType
    : 'application/octet-stream'
}
