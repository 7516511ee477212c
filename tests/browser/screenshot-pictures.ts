/** Pictures for the screenshot, drawn as SVG. All are 3000 × 2000 pixels. */

const size = 'xmlns="http://www.w3.org/2000/svg" width="3000" height="2000" viewBox="0 0 300 200"'

/** Returns a ridge as a closed path: a sum of sine waves around a height. */
function ridge(height: number, roughness: number, shift: number): string {
  const points = Array.from({ length: 101 }, (_, index) => {
    const x = index * 3
    const y =
      height -
      roughness *
        (Math.sin(x / 31 + shift) + 0.55 * Math.sin(x / 13 + shift * 3) + 0.25 * Math.sin(x / 5 + shift * 7))
    return `${x},${y.toFixed(2)}`
  })
  return `M0,200 L${points.join(' L')} L300,200 Z`
}

/** Mountains in layers at sunset. */
export const mountainsSvg = `<svg ${size}>
  <defs>
    <linearGradient id="sky" x2="0" y2="1">
      <stop offset="0" stop-color="#2b2d66"/><stop offset="0.45" stop-color="#c2587a"/><stop offset="0.75" stop-color="#ffb56b"/>
    </linearGradient>
    <radialGradient id="glow"><stop offset="0" stop-color="#fff3c4"/><stop offset="0.3" stop-color="#ffdf8e" stop-opacity="0.7"/><stop offset="1" stop-color="#ffb56b" stop-opacity="0"/></radialGradient>
  </defs>
  <rect width="300" height="200" fill="url(#sky)"/>
  <circle cx="165" cy="98" r="70" fill="url(#glow)"/><circle cx="165" cy="98" r="17" fill="#fff6d6"/>
  <path d="${ridge(118, 9, 0.4)}" fill="#a2527d"/>
  <path d="${ridge(135, 11, 2.1)}" fill="#6f3f74"/>
  <path d="${ridge(155, 12, 4.4)}" fill="#402a5c"/>
  <path d="${ridge(180, 9, 5.6)}" fill="#1d1638"/>
</svg>`

/** Two sailing boats on calm water. */
export const harbourSvg = `<svg ${size}>
  <defs>
    <linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="#4aa8dc"/><stop offset="1" stop-color="#fdeed2"/></linearGradient>
    <linearGradient id="sea" x2="0" y2="1"><stop offset="0" stop-color="#58b6bd"/><stop offset="1" stop-color="#0c4a63"/></linearGradient>
  </defs>
  <rect width="300" height="200" fill="url(#sky)"/>
  <circle cx="235" cy="42" r="16" fill="#fff8e0"/>
  <path d="${ridge(112, 5, 1.3)}" fill="#7fa9a0"/>
  <rect y="118" width="300" height="82" fill="url(#sea)"/>
  <g stroke="#e9fbf6" stroke-opacity="0.45" stroke-width="1" stroke-linecap="round">
    ${Array.from({ length: 26 }, (_, i) => {
      const y = 124 + i * 2.9
      const x = (i * 83) % 260
      return `<path d="M${x},${y} h${12 + ((i * 17) % 30)}"/>`
    }).join('')}
  </g>
  <path d="M125,30 L125,138 L70,138 Z" fill="#fffaf0"/><path d="M130,48 L130,138 L172,138 Z" fill="#e4572e"/>
  <path d="M66,144 H180 L164,162 H84 Z" fill="#7a3b1d"/>
  <path d="M236,84 L236,134 L212,134 Z" fill="#fff1d6"/><path d="M239,92 L239,134 L258,134 Z" fill="#f2b134"/>
  <path d="M208,137 H262 L254,146 H217 Z" fill="#3c2a20"/>
</svg>`
