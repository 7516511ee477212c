import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { detectFile, typeOf } from '../support/detect-file.ts'

const test = suite('types of texts')
const svgTag = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">'
const svg = `${svgTag}<path d="M0 0h8v8H0z"/></svg>`

function utf16(text: string, { bigEndian = false, mark = true } = {}): Buffer {
  const bytes = Buffer.from(`${mark ? '\ufeff' : ''}${text}`, 'utf16le')
  return bigEndian ? bytes.swap16() : bytes
}

const doctype =
  '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
const svgFiles: [name: string, bytes: string | Buffer][] = [
  ['alone', svg],
  ['after a byte order mark', `\ufeff${svg}`],
  ['after a declaration', `<?xml version="1.0" encoding="UTF-8"?>\n${svg}`],
  ['after white space', `\n\n  ${svg}`],
  ['after a comment', `<!-- made by a tool -->\n${svg}`],
  ['after a comment with markup', `<!-- <html> -- > -->${svg}`],
  ['after a long comment', `<?xml version="1.0"?><!-- ${'licence '.repeat(3000)}-->${svg}`],
  ['after a doctype', `<?xml version="1.0"?>${doctype}${svg}`],
  [
    'after a doctype with declarations',
    `<!DOCTYPE svg [<!ENTITY a "]>"><!-- ' ]> -->\n<!ATTLIST svg b CDATA "c">]>${svg}`,
  ],
  [
    'with its namespace in an entity',
    `<!DOCTYPE svg [<!ENTITY ns_svg "http://www.w3.org/2000/svg">]><svg xmlns="&ns_svg;" width="8"></svg>`,
  ],
  ['after processing instructions', `<?xml-stylesheet href="a.css"?><?a b?>${svg}`],
  ['with a prefix', '<s:svg xmlns:s="http://www.w3.org/2000/svg"/>'],
  ['without a namespace', '<svg width="8"><rect/></svg>'],
  ['with attributes before the namespace', `<svg a='>' b="1"\n xmlns="http://www.w3.org/2000/svg"></svg>`],
  ['with many attributes', `<svg ${'data-a="1" '.repeat(1000)} xmlns="http://www.w3.org/2000/svg"></svg>`],
  ['in UTF-16', utf16(`<?xml version="1.0" encoding="UTF-16"?><!-- é -->${svg}`)],
  ['in big-endian UTF-16', utf16(svg, { bigEndian: true })],
  ['in UTF-16 without a byte order mark', utf16(`<?xml version="1.0"?>${svg}`, { mark: false })],
  ['in Latin-1', Buffer.from(`<?xml version="1.0" encoding="ISO-8859-1"?><!-- Größe -->${svg}`, 'latin1')],
  ['with more than the head', `${svgTag}${'<g/>'.repeat(20_000)}</svg>`],
]
for (const [name, bytes] of svgFiles) {
  test(`SVG ${name} is image/svg+xml`, async () => {
    const { found, ranges } = await detectFile(Buffer.from(bytes))
    assert.equal(found, { mediaType: 'image/svg+xml', foundBy: 'markup' })
    assert.is(ranges.length <= 1, true)
  })
}

const otherMarkup: [name: string, text: string, mediaType: string | undefined][] = [
  ['HTML with SVG in it', `<!doctype html><title>a</title>${svg}`, 'text/html'],
  ['HTML without a doctype', `<html><body>${svg}</body></html>`, 'text/html'],
  ['HTML after a comment', `<!-- a -->\n<!DOCTYPE HTML>${svg}`, 'text/html'],
  ['a script', '<script>alert(1)</script>', 'text/html'],
  ['a part of a page', '<div><p>hello</p></div>\n', 'text/html'],
  ['Markdown that begins with an element', '<h1>Title</h1>\n\nSome *text*.\n', 'text/plain'],
  ['XHTML', '<html xmlns="http://www.w3.org/1999/xhtml"></html>', 'application/xhtml+xml'],
  ['XML with SVG in it', `<?xml version="1.0"?><doc>${svg}</doc>`, 'application/xml'],
  ['XML without a declaration', `<doc>${svg}</doc>`, 'application/xml'],
  ['an element of another namespace called svg', '<svg xmlns="urn:other"/>', 'application/xml'],
  ['a comment with SVG in it', `<?xml version="1.0"?><!-- ${svg} --><doc/>`, 'application/xml'],
  [
    'a doctype with SVG in it',
    `<!DOCTYPE doc [<!ENTITY a "${svg.replaceAll('"', "'")}">]><doc/>`,
    'application/xml',
  ],
  ['GPX', '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"/>', 'application/gpx+xml'],
  ['XML whose root never comes', `<?xml version="1.0"?><!-- ${'a'.repeat(100_000)}`, 'application/xml'],
  ['text in angle brackets', '<alice> hello, see <svg\n<bob> hi', 'text/plain'],
  ['a heart', '<3 and <svg xmlns="http://www.w3.org/2000/svg">', 'text/plain'],
  ['SVG after other text', `hello ${svg}`, 'text/plain'],
]
for (const [name, text, mediaType] of otherMarkup) {
  test(`${name} is ${mediaType}`, async () => {
    assert.is(await typeOf(text), mediaType)
  })
}

const texts: [name: string, bytes: string | Buffer, mediaType: string | undefined][] = [
  ['ASCII', 'Hello, world.\n', 'text/plain'],
  ['UTF-8', 'Größe 😀\n', 'text/plain'],
  ['UTF-8 with a byte order mark', '\ufeffhello', 'text/plain'],
  ['UTF-16', utf16('Größe 😀'), 'text/plain'],
  ['big-endian UTF-16', utf16('Größe 😀', { bigEndian: true }), 'text/plain'],
  ['text with colours of a terminal', '\x1b[31mred\x1b[0m\n', 'text/plain'],
  ['Latin-1', Buffer.from('Größe und Länge\n', 'latin1'), 'text/plain'],
  ['Windows-1252', Buffer.from('\x84Größe\x93 \x96 5 \x80\n', 'latin1'), 'text/plain'],
  [
    'CSV in Windows-1252',
    Buffer.from('Name;Größe\r\nA;1 \x80\r\nB;2\r\nC;3\r\nD;4\r\n', 'latin1'),
    'text/csv',
  ],
  ['JSON in Latin-1', Buffer.from('{"size":"Größe"}', 'latin1'), 'text/plain'],
  ['Latin-1 after a byte order mark of UTF-8', Buffer.from('\xef\xbb\xbfGröße', 'latin1'), undefined],
  ['a byte that Windows-1252 does not have', Buffer.from('Größe und \x81\n', 'latin1'), undefined],
  [
    'a picture of bright bytes',
    Buffer.from(`P6\n9 9\n255\n${'\xe4\xf0\xfa'.repeat(81)}`, 'latin1'),
    undefined,
  ],
  ['text with a NUL', 'hello\0world, hello', undefined],
  ['UTF-16 with half a character', Buffer.concat([utf16('hello'), Buffer.from([0])]), undefined],
  ['UTF-16 with a lone surrogate', utf16('hello \ud800 world'), undefined],
  ['nothing', '', undefined],
]
for (const [name, bytes, mediaType] of texts) {
  test(`${name} is ${mediaType ?? 'unknown'}`, async () => {
    assert.is(await typeOf(bytes), mediaType)
  })
}

test('a long text is read at its start, middle and end only, whatever characters are cut', async () => {
  for (let shift = 0; shift < 4; shift++) {
    for (const character of ['ä', '漢', '😀']) {
      const text = `${'x'.repeat(shift)}${character.repeat(80_000)}`
      const utf8 = await detectFile(Buffer.from(text))
      assert.equal([utf8.found?.mediaType, utf8.ranges.length], ['text/plain', 2])
      assert.is(await typeOf(utf16(text)), 'text/plain')
    }
  }
  assert.is((await detectFile(Buffer.alloc(20_000, 'line of text\n'))).ranges.length, 1)
})

test('a text that goes on with other bytes is unknown', async () => {
  const text = Buffer.alloc(100_000, 'echo installing\n')
  const binary = Buffer.alloc(100_000, '\x01\x02\xff\x00', 'latin1')
  assert.is(await typeOf(Buffer.concat([text, binary])), undefined)
  assert.is(await typeOf(Buffer.concat([text, binary, text])), undefined)
})

test('a long text in Latin-1 is text wherever its first umlaut is, and none if other bytes follow', async () => {
  const ascii = Buffer.alloc(40_000, 'a line of text\n')
  const umlauts = Buffer.from('Größe\n'.repeat(5_000), 'latin1')
  const cases: [bytes: Buffer, mediaType: string | undefined][] = [
    [Buffer.concat([umlauts, ascii]), 'text/plain'],
    [Buffer.concat([ascii, umlauts, ascii]), 'text/plain'],
    [Buffer.concat([ascii, umlauts]), 'text/plain'],
    [Buffer.concat([umlauts, Buffer.alloc(10_000, '\x01\xe4', 'latin1')]), undefined],
    [Buffer.concat([umlauts, Buffer.alloc(10_000, '\xe4\xe4a', 'latin1')]), undefined],
  ]
  for (const [bytes, mediaType] of cases) assert.is(await typeOf(bytes), mediaType)
})

const tables: [name: string, text: string, mediaType: string][] = [
  ['commas', 'a,b,c\n1,2,3\n4,5,6\n', 'text/csv'],
  ['semicolons', 'Name;Ort;Größe\r\nA;B;1,5\r\nC;D;2,5', 'text/csv'],
  ['a byte order mark', '\ufeffa;b;c\n1;2;3\n4;5;6\n', 'text/csv'],
  ['quoted fields', 'id,text,x\n1,"a, ""b""\nc",2\n2,d,3\n', 'text/csv'],
  ['empty fields', 'a,b,c\n,,\n1,,3\n', 'text/csv'],
  ['a delimiter that Excel names', 'sep=|\na|b\n', 'text/csv'],
  ['two columns and five lines', 'a,b\n1,2\n3,4\n5,6\n7,8\n', 'text/csv'],
  ['one line with many columns and another', 'a,b,c,d,e\n1,2,3,4,5\n', 'text/csv'],
  ['tabs', 'a\tb\tc\n1\t2\t3\n4\t5\t6\n', 'text/tab-separated-values'],
  ['row numbers without a name', ',a,b\n0,1,2\n1,3,4\n', 'text/csv'],
  ['a delimiter at the end of each line', 'a;b;\n1;2;\n3;4;\n', 'text/csv'],
  ['lines of code', Array.from({ length: 20 }, (_, i) => `export_${i}(a);\n`).join(''), 'text/plain'],
  ['one column', 'a\nb\nc\nd\n', 'text/plain'],
  ['sentences', 'Dear Bob,\n\nthank you, I am well,\nsee you.\n', 'text/plain'],
  ['verses', 'Roses are red,\nviolets are blue,\n', 'text/plain'],
  ['one line', 'a,b,c,d,e,f', 'text/plain'],
  ['other counts', 'a,b,c\n1,2\n3,4,5\n6,7,8\n', 'text/plain'],
  ['indented code', '\tif a\n\tif b\n\tif c\n\tif d\n\tif e\n', 'text/plain'],
  ['JSON lines', '{"a":1,"b":2,"c":3}\n{"a":1,"b":2,"c":3}\n{"a":1,"b":2,"c":3}\n', 'text/plain'],
]
for (const [name, text, mediaType] of tables) {
  test(`text with ${name} is ${mediaType}`, async () => {
    assert.is(await typeOf(text), mediaType)
  })
}

test('a long table is CSV', async () => {
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i},name ${i},"a, ${i}",x\n`)
  assert.equal((await detectFile(Buffer.from(lines.join('')))).found, {
    mediaType: 'text/csv',
    foundBy: 'text',
  })
})

test('JSON is application/json, whatever its length', async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => ({
    id: i,
    'na"me': [null, true, -1.5e3, 'é\\'],
    sub: {},
  }))
  for (const json of [
    '{}',
    '[1, 2]',
    '{"a": "b"}\n',
    JSON.stringify(rows),
    JSON.stringify({ rows }, null, 2),
  ]) {
    assert.is(await typeOf(json), 'application/json', json.slice(0, 20))
  }
  const lines = rows.map((row) => JSON.stringify(row)).join('\n')
  const others = [
    '12',
    '"text"',
    '{a: 1}',
    '[see below]',
    '{"a":1}\n{"b":2}',
    lines,
    `${JSON.stringify(rows)} end`,
  ]
  for (const text of others) assert.is(await typeOf(text), 'text/plain', text.slice(0, 20))
})

test('a PDF with other bytes before its header is a PDF', async () => {
  const pdf = '%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer <<>>\nstartxref\n9\n%%EOF\n'
  const prefixes = [
    '\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    '\0'.repeat(128),
    '\x1b%-12345X@PJL\r\n',
    'x'.repeat(1000),
  ]
  for (const prefix of prefixes) {
    assert.equal((await detectFile(Buffer.from(prefix + pdf, 'latin1'))).found, {
      mediaType: 'application/pdf',
      foundBy: 'signature',
    })
  }
  const long = Buffer.from(`junk\n${pdf.replace('trailer', `${'% \x01\n'.repeat(30_000)}trailer`)}`)
  assert.is(await typeOf(long), 'application/pdf')
  assert.is(await typeOf(`${'x'.repeat(1100)}${pdf}`), 'text/plain')
  assert.is(await typeOf('A PDF begins with %PDF-1.7 and a line break.\n'), 'text/plain')
})

test.run()
