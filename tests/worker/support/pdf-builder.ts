/** Makes a PDF of its objects, of which the first is the catalogue (ISO 32000-2, 7.5). */
export function makePdf(objects: string[], { trailer = '' } = {}): Buffer {
  let text = '%PDF-1.7\n'
  const offsets = objects.map((object, index) => {
    const offset = text.length
    text += `${index + 1} 0 obj\n${object}\nendobj\n`
    return `${String(offset).padStart(10, '0')} 00000 n \n`
  })
  const start = text.length
  text += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${offsets.join('')}`
  text += `trailer\n<</Size ${objects.length + 1}/Root 1 0 R${trailer}>>\nstartxref\n${start}\n%%EOF\n`
  return Buffer.from(text, 'latin1')
}

/** Makes a stream object. @param entries of its dictionary */
export function pdfStream(content: string, entries = ''): string {
  return `<<${entries}/Length ${content.length}>>\nstream\n${content}\nendstream`
}

/** Content that fills a box with four quarters: red, green; blue, yellow. */
export function pdfQuarters(width: number, height: number): string {
  const [w, h] = [width / 2, height / 2]
  return `1 0 0 rg 0 ${h} ${w} ${h} re f 0 1 0 rg ${w} ${h} ${w} ${h} re f 0 0 1 rg 0 0 ${w} ${h} re f 1 1 0 rg ${w} 0 ${w} ${h} re f`
}

/** Makes a PDF with a page of 200 × 100 points. @param options.page entries of the page @param options.more objects from 5 */
export function onePagePdf({
  page = '',
  catalog = '',
  content = pdfQuarters(200, 100),
  box = '/MediaBox[0 0 200 100]',
  more = [],
  trailer = '',
}: {
  page?: string
  catalog?: string
  content?: string
  box?: string
  more?: string[]
  trailer?: string
} = {}): Buffer {
  return makePdf(
    [
      `<</Type/Catalog/Pages 2 0 R${catalog}>>`,
      '<</Type/Pages/Kids[3 0 R]/Count 1>>',
      `<</Type/Page/Parent 2 0 R${box}/Contents 4 0 R${page}>>`,
      pdfStream(content),
      ...more,
    ],
    { trailer },
  )
}
