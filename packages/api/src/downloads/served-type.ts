/**
 * Types of originals that browsers decode and never execute: raster images, video, sound, and PDF, which they
 * open in a viewer that is walled off. Types in XML (SVG above all) are documents with scripts, whatever their
 * first half says.
 */
const inertType = /^(?:(?:image|video|audio)\/(?!svg)[a-z0-9.-]+|application\/pdf)$/

/**
 * The type under which an original is handed out. HTML, XHTML, XML, SVG, scripts, and all that nobody has
 * thought of, are bytes without a meaning, so that no browser shows them as pages of the bucket's origin.
 *
 * @param detectedType what the bytes were found to be
 */
export function servedType(detectedType: string | undefined): string {
  return detectedType !== undefined && inertType.test(detectedType)
    ? detectedType
    : 'application/octet-stream'
}
