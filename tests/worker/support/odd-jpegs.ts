/** Makes a segment of a JPEG: marker, length, data (ITU-T T.81, B.1.1.4). */
export function jpegSegment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(data.length + 2, 2)
  return Buffer.concat([head, data])
}

/**
 * Makes JPEGs whose pixels are those of a good one, by what is odd about them. Browsers, Pillow and ImageMagick show each.
 *
 * @param file a sequential JPEG of one scan
 */
export function oddJpegs(file: Buffer): Record<string, Buffer> {
  const insert = (at: number, bytes: Buffer) =>
    Buffer.concat([file.subarray(0, at), bytes, file.subarray(at)])
  const changed = (at: number, bytes: readonly number[]) => {
    const copy = Buffer.from(file)
    copy.set(bytes, at)
    return copy
  }
  const scan = file.lastIndexOf(Buffer.from([0xff, 0xda]))
  const parameters = scan + 2 + file.readUInt16BE(scan + 2) - 3
  const adobe = (transform: number) =>
    jpegSegment(0xee, Buffer.from(`Adobe\0\x64\0\0\0\0${String.fromCharCode(transform)}`, 'latin1'))
  return {
    'no end marker': file.subarray(0, -2),
    'bytes after its end': Buffer.concat([file, Buffer.from('PK\x03\x04 an archive')]),
    'a second picture after its end': Buffer.concat([file, file]),
    'bytes before a scan': insert(scan, Buffer.from([0, 1, 2])),
    'an escaped byte before a scan': insert(scan, Buffer.from([0xff, 0, 1, 2])),
    'bytes after a scan': insert(file.length - 2, Buffer.alloc(300, 0x55)),
    'fill bytes before a segment': insert(2, Buffer.from([0xff, 0xff, 0xff])),
    'scan parameters of zero': changed(parameters, [0, 0, 0]),
    'other scan parameters': changed(parameters, [5, 12, 0x11]),
    'JFIF of version 2': insert(
      2,
      jpegSegment(0xe0, Buffer.from('JFIF\0\x02\x01\0\0\x01\0\x01\0\0', 'latin1')),
    ),
    'an unknown colour transform of Adobe': insert(2, adobe(7)),
    'an unreadable EXIF segment': insert(
      2,
      jpegSegment(0xe1, Buffer.from('Exif\0\0MM\0*\xff\xff\xff\xff', 'latin1')),
    ),
    'an unreadable colour profile': insert(
      2,
      jpegSegment(0xe2, Buffer.from(`ICC_PROFILE\0\x01\x01${'U'.repeat(20)}`, 'latin1')),
    ),
    'half of a colour profile': insert(
      2,
      jpegSegment(0xe2, Buffer.from(`ICC_PROFILE\0\x02\x02${'U'.repeat(20)}`, 'latin1')),
    ),
    'an unused table': insert(
      scan,
      jpegSegment(0xdb, Buffer.concat([Buffer.from([3]), Buffer.alloc(64, 1)])),
    ),
    'a restart interval of zero': insert(scan, jpegSegment(0xdd, Buffer.from([0, 0]))),
    'a long comment': insert(2, jpegSegment(0xfe, Buffer.alloc(65_533, 'c'))),
  }
}
