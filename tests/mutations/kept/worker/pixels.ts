import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/pixels'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'SVG: its loader stays open for other files',
    file: `${room}/sharp-setup.ts`,
    before: 'if (openSvgs === 0) sharp.block(svgLoader)',
    after: 'if (openSvgs < 0) sharp.block(svgLoader)',
    effect: 'A file that is declared to be a PNG reaches the parser of SVG.',
    tests: ['worker/formats/svg-loader.test.ts'],
  },
  {
    name: 'orientation: mirrored frames of an animation are not mirrored',
    file: `${room}/upright-frames.ts`,
    before: 'const isMirrored = [2, 3, 7, 8].includes(orientation)',
    after: 'const isMirrored = [2, 3, 7].includes(orientation)',
    effect: 'An animation of orientation 8 is upside down.',
    tests: ['worker/formats/animations.test.ts'],
  },
  {
    name: 'animation: its times are those of the encoder',
    file: `${room}/upright-frames.ts`,
    before: '    ...(header.delay && { delay: header.delay }),\n',
    after: '',
    effect: 'A turned animation runs at another speed.',
    tests: ['worker/formats/animations.test.ts'],
  },
  {
    name: 'limits: exactly the limit of pixels is refused',
    file: `${room}/pixel-limit.ts`,
    before: 'if (pixels <= maxPixels) return',
    after: 'if (pixels < maxPixels) return',
    effect: 'An image at the documented limit of pixels is rejected.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
  {
    name: 'limits: the pixels of one frame count only',
    file: `${room}/pixel-limit.ts`,
    before: 'const pixels = width * height * frames',
    after: 'const pixels = width * height',
    effect: 'An animation takes as many times the memory as it has frames.',
    tests: ['worker/formats/animations.test.ts'],
  },
]
